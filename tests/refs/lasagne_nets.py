#!/usr/bin/env python3
"""Parameter lists as Lasagne's programs save them, for tests/it/imports/lasagne.rs.

Made with Python 3.11, numpy 2.4.6, torch 2.15.0, safetensors 0.8.0:

    python3 tests/refs/lasagne_nets.py

Writes tests/data/nets/lasagne: one list in all formats with its arrays in list.safetensors, and a residual net of small
width with its reference by PyTorch in float64 (see tests/it/imports/support.rs). Lasagne itself needs a Theano that no
living Python runs.
"""
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

OUT = Path(__file__).parent.parent / "data" / "nets" / "lasagne"


class Python2Pickler(pickle._Pickler):
    """Writes strings and bytes as Python 2 wrote its `str`, and NumPy under the name it had then."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_native(self, value):
        data = value if isinstance(value, bytes) else value.encode("latin1")
        if self.proto == 0:
            escaped = repr(data)[1:]
            self.write(b"S" + escaped.encode("ascii") + b"\n")
        elif len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(data)) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[str] = save_native
    dispatch[bytes] = save_native

    def save_global(self, value, name=None):
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())
        self.memoize(value)


def python2(value, protocol):
    out = io.BytesIO()
    Python2Pickler(out, protocol).dump(value)
    return out.getvalue()


def lists(rng):
    arrays = [
        rng.standard_normal((2, 3, 1, 2)).astype("f4"),
        rng.standard_normal(3).astype(">f4"),
        np.asfortranarray(rng.standard_normal((3, 4))),
        rng.standard_normal((1, 1)).astype("f2"),
        rng.standard_normal(12).astype("f4"),  # More than ten, for numeric order.
    ] + [np.full(2, number, "f4") for number in range(5, 12)]
    np.savez(OUT / "list.npz", *arrays)
    np.savez_compressed(OUT / "list_compressed.npz", *arrays)
    objects = np.empty(len(arrays), object)
    objects[:] = arrays
    np.savez(OUT / "list_objects.npz", objects)
    for protocol in (0, 2, 4, 5):
        (OUT / f"list_p{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol))
    zoo = {
        "param values": arrays,
        "synset words": ["n01440764 tench, Tinca tinca", "hen"],
        "mean value": np.array([103.939, 116.779, 123.68], "f4"),
    }
    other = {"values": arrays, "mean_image": np.stack([np.full((2, 2), c, "f4") for c in (1, 2, 3)])}
    (OUT / "zoo_python2_p0.pkl").write_bytes(python2(zoo, 0))
    (OUT / "zoo_python2_p2.pkl").write_bytes(python2(other, 2))
    expected = {f"arr_{i}": np.ascontiguousarray(array.astype("<f4")) for i, array in enumerate(arrays)}
    save_file(expected, OUT / "list.safetensors")


def residual_net(rng):
    """The recipe's net for CIFAR with one block a stage and two channels."""
    arrays = []

    def noise(*shape, scale=1.0):
        arrays.append((scale * rng.standard_normal(shape)).astype("f4"))
        return torch.from_numpy(arrays[-1].astype("f8"))

    def conv_bn(x, out, stride):
        kernel = noise(out, x.shape[1], 3, 3, scale=(2 / (9 * x.shape[1])) ** 0.5)
        x = F.conv2d(x, kernel, stride=stride, padding=1)
        beta, gamma, mean = noise(out, scale=0.3), noise(out), noise(out, scale=0.3)
        arrays.append(rng.uniform(0.5, 2, out).astype("f4"))
        inverse_deviation = torch.from_numpy(arrays[-1].astype("f8"))
        shaped = [value.view(1, -1, 1, 1) for value in (beta, gamma, mean, inverse_deviation)]
        return (x - shaped[2]) * (shaped[1] * shaped[3]) + shaped[0]

    picture = rng.uniform(-1, 1, (1, 3, 16, 16)).astype("f4")
    x = torch.from_numpy(picture.astype("f8")).requires_grad_()
    maps = F.relu(conv_bn(x, 2, 1))
    blobs = {}
    for stage, width in enumerate((2, 4, 8), 1):
        stride = 1 if stage == 1 else 2
        branch = conv_bn(F.relu(conv_bn(maps, width, stride)), width, 1)
        if stride == 2:
            maps = F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, width // 4, width // 4))
        maps = F.relu(branch + maps)
        blobs[f"stage{stage}.block1"] = maps
    weight, bias = noise(8, 10), noise(10)
    blobs["dense"] = maps.mean((2, 3)) @ weight + bias
    blobs["prob"] = blobs["dense"].softmax(1)
    (gradient,) = torch.autograd.grad(0.5 * (blobs["dense"] ** 2).sum(), x)
    np.savez(OUT / "residual.npz", *arrays)
    tensors = {"input": picture, "gradient:dense": gradient.numpy().astype("f4")}
    for name in ("stage2.block1", "dense", "prob"):
        tensors[f"blob:{name}"] = blobs[name].detach().numpy().astype("f4")
    save_file(tensors, OUT / "residual.safetensors")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    lists(np.random.default_rng(1))
    residual_net(np.random.default_rng(2))
