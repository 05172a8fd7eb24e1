#!/usr/bin/env python3
"""Reference values of torchvision's architectures, for tests/it/architectures.rs.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, numpy 2.4.6, safetensors 0.8.0 on the CPU, in float64:

    python3 tests/refs/architectures.py

Writes tests/data/architectures.safetensors. Parameters and pictures are a hash of (name, index), see `noise`, which the
test repeats; so only samples of the results are stored: of a layer's blob, and of the gradient of half its squared norm
with respect to the input. The metadata have, for each architecture, a digest of its state dict's names and shapes, and
one of the settings of its convolutions, batch norms and dropouts.
"""
import math
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.numpy import save_file

OUT = Path(__file__).parent.parent / "data" / "architectures.safetensors"
SAMPLES = 256
SAMPLE_STRIDE = 7919  # a prime that divides no length here, so that samples visit all channels and places

FAMILIES = ("alexnet", "densenet", "efficientnet_b", "googlenet", "inception_v3", "mnasnet", "mobilenet_v", "regnet_",
            "resnet", "resnext", "shufflenet_v2", "squeezenet", "vgg", "wide_resnet")
LEFT_OUT = ("regnet_y_128gf",)
ARCHITECTURES = [name for name in torchvision.models.list_models(module=torchvision.models)
                 if name.startswith(FAMILIES) and name not in LEFT_OUT]

ODD = (50, 70)  # odd sizes inside the nets: partial windows, and pixels that no window sees

# Architecture, the node in Oneiric, the module whose output it is, height and width of the picture.
CASES = [
    ("alexnet", "features.12", "features.12", (90, 111)),
    ("densenet121", "classifier", "classifier", ODD),
    ("efficientnet_b0", "classifier.1", "classifier.1", ODD),
    ("efficientnet_b5", "features.2", "features.2", ODD),
    ("googlenet", "inception4c", "inception4c", ODD),
    ("googlenet", "fc", "fc", ODD),
    ("inception_v3", "Mixed_7b", "Mixed_7b", (80, 107)),
    ("mnasnet0_5", "classifier.1", "classifier.1", ODD),
    ("mobilenet_v2", "classifier.1", "classifier.1", ODD),
    ("mobilenet_v3_large", "classifier.3", "classifier.3", ODD),
    ("mobilenet_v3_small", "classifier.3", "classifier.3", ODD),
    ("regnet_x_8gf", "trunk_output.block2", "trunk_output.block2", ODD),
    ("regnet_y_400mf", "fc", "fc", ODD),
    ("resnet18", "fc", "fc", ODD),
    ("resnet50", "layer3", "layer3", ODD),
    ("resnext50_32x4d", "layer2", "layer2", ODD),
    ("shufflenet_v2_x1_0", "fc", "fc", ODD),
    ("squeezenet1_0", "flatten", "classifier", ODD),
    ("squeezenet1_1", "features.12", "features.12", ODD),
    ("vgg11", "features.20", "features.20", ODD),
    ("vgg11_bn", "features.14", "features.14", ODD),
    ("vgg16", "features.25", "features.25", ODD),
    ("wide_resnet50_2", "layer2", "layer2", ODD),
]


def fnv1a(text):
    """The 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def noise(name, count):
    """`count` numbers in [-1, 1) on 2^24 steps: the top bits of SplitMix64 started at the hash of the name."""
    z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def parameter(name, shape, batch_norm):
    """He-uniform weights, and batch norms that do something, rounded to float32."""
    values = noise(name, math.prod(shape)).reshape(shape)
    last = name.rsplit(".", 1)[-1]
    if last == "running_var":
        values = 1 + 0.5 * values
    elif last == "weight" and batch_norm:
        values = 1 + 0.25 * values
    elif last == "weight":
        values = math.sqrt(6 / math.prod(shape[1:])) * values
    else:
        values = 0.1 * values
    return torch.from_numpy(values.astype(np.float32).astype(np.float64))


def build(architecture):
    """Without the head that only training uses."""
    options = {"aux_logits": False, "init_weights": False} if architecture in ("googlenet", "inception_v3") else {}
    # RegNet computes its widths by tensors, which then need values.
    with torch.device("cpu" if architecture.startswith("regnet") else "meta"):
        return torchvision.models.get_model(architecture, weights=None, **options).eval()


def state_of(net):
    """(name, shape, whether of a batch norm), without the counters that only training reads."""
    norms = {name for name, module in net.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    for name, value in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            yield name, tuple(value.shape), name.rsplit(".", 1)[0] in norms


def settings_of(net):
    """A line for each module whose settings no shape tells. Epsilons as 1 / n, rates in percent."""
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            (down, right), (top, left), (y, x) = module.stride, module.padding, module.dilation
            yield f"{name} stride {down} {right} padding {top} {left} dilation {y} {x} groups {module.groups}"
        elif isinstance(module, torch.nn.BatchNorm2d):
            yield f"{name} epsilon 1/{round(1 / module.eps)}"
        elif isinstance(module, torch.nn.Dropout):
            yield f"{name} rate {round(100 * module.p)}"


def digest(lines):
    text = "".join(f"{line}\n" for line in sorted(lines))
    return f"{fnv1a(text):016x}"


def digests():
    for architecture in ARCHITECTURES:
        net = build(architecture)
        params = (f"{name} {'x'.join(map(str, shape))}" for name, shape, _ in state_of(net))
        yield f"{architecture}/params", digest(params)
        yield f"{architecture}/settings", digest(settings_of(net))


def sample(tensor):
    flat = tensor.detach().numpy().reshape(-1)
    assert len(flat) % SAMPLE_STRIDE != 0
    return flat[np.arange(SAMPLES) * SAMPLE_STRIDE % len(flat)].astype(np.float32)


def run(architecture, module, size):
    net = build(architecture).double()
    if architecture.startswith(("alexnet", "vgg")):
        net.classifier = torch.nn.Identity()
    state = net.state_dict()  # MnasNet asks for the version in it
    state.update((name, parameter(name, shape, norm)) for name, shape, norm in state_of(net))
    net.load_state_dict(state, assign=True)
    net.requires_grad_(False)
    blobs = []
    net.get_submodule(module).register_forward_hook(lambda _module, _inputs, output: blobs.append(output))
    picture = noise("input", 3 * math.prod(size)).reshape(1, 3, *size)
    picture = torch.from_numpy(picture).requires_grad_()
    net(picture)
    [blob] = blobs
    (0.5 * (blob * blob).sum()).backward()
    return blob, picture.grad


def main():
    tensors = {}
    for architecture, node, module, size in CASES:
        blob, gradient = run(architecture, module, size)
        print(architecture, node, tuple(blob.shape), f"{blob.abs().max():.4g} {gradient.abs().max():.4g}")
        case = f"{architecture}/{node}/{size[0]}x{size[1]}"
        tensors[f"{case}/blob"] = sample(blob)
        tensors[f"{case}/d_input"] = sample(gradient)
    OUT.parent.mkdir(exist_ok=True)
    save_file(tensors, OUT, metadata=dict(digests()))


if __name__ == "__main__":
    main()
