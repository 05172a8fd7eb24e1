#!/usr/bin/env python3
"""Checkpoints of tiny PyTorch nets, for tests/it/imports/pytorch.rs.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, timm 1.0.31, safetensors 0.8.0 on the CPU:

    python3 tests/refs/pytorch_nets.py

Writes tests/data/nets/pytorch: checkpoints of one state dict in all formats of torch.save with its tensors in
tensors.safetensors, nets of small widths with references (NAME.safetensors, see tests/it/imports/support.rs), and
timm_names.json, pairs of the names that timm and torchvision give to the same tensor of a net; that they are the same is
checked by comparing outputs.
"""
import io
import json
import re
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import nn

OUT = Path(__file__).parent.parent / "data" / "nets" / "pytorch"


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))

    def forward(self, x):
        return self.head(self.block(x))


def randomize(net, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if value.dtype.is_floating_point:
            noise = torch.rand(value.shape, generator=generator) - 0.5
            if name.endswith("running_var"):
                noise = noise + 1
            elif name.endswith("bias"):
                noise = noise + 0.25  # Few dead ReLUs.
            elif value.dim() > 1:
                noise = noise * (24 / value[0].numel()) ** 0.5
            value.copy_(noise)
    return net.eval()


def repack(data, compression, big_endian=False):
    """The same archive, packed otherwise; or as a big-endian machine would have written it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", compression) as target:
        for entry in source.infolist():
            content = source.read(entry)
            if big_endian and entry.filename.endswith("/byteorder"):
                content = b"big"
            if big_endian and "/data/" in entry.filename:
                size = 8 if len(content) == 8 else 4  # The one counter is of int64.
                content = np.frombuffer(content, f"<i{size}").byteswap().tobytes()
            target.writestr(zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0)), content, compression)
    return out.getvalue()


def saved(value, **options):
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def cast(state, dtype):
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


def checkpoints():
    net = randomize(Tiny(), 1)
    state = net.state_dict()
    parallel = OrderedDict(("module." + name, value) for name, value in state.items())
    momentum = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    legacy = {"_use_new_zipfile_serialization": False}
    plain = saved(state)
    files = {
        "zip.pt": plain,
        "legacy.pt": saved(state, **legacy),
        "protocol4.pt": saved(state, pickle_protocol=4),
        "protocol5.pt": saved(state, pickle_protocol=5),
        "legacy_protocol4.pt": saved(state, pickle_protocol=4, **legacy),
        "deflated.pt": repack(plain, zipfile.ZIP_DEFLATED),
        "big_endian.pt": repack(plain, zipfile.ZIP_STORED, big_endian=True),
        "half.pt": saved(cast(state, torch.float16)),
        "bfloat16.pt": saved(cast(state, torch.bfloat16)),
        "double_legacy.pt": saved(cast(state, torch.float64), **legacy),
        "data_parallel.pt": saved({"epoch": 3, "state_dict": parallel, "optimizer": momentum, "best": 0.5}),
        "own_wrapper.pt": saved({"step": 1, "my net": {"inner": state}, "optimizer": momentum}),
        "module.pt": saved(nn.DataParallel(net)),
        "module_legacy.pt": saved(net.head[1], **legacy),
        "views.pt": saved(views(state)),
        "views_legacy.pt": saved(views(state), **legacy),
        "parameters.pt": saved({"model": {"ema": 1, "weights": dict(net.named_parameters()), "buffers": dict(net.named_buffers())}}),
    }
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(net), script)
    files["script.pt"] = script.getvalue()
    for name, data in files.items():
        (OUT / name).write_bytes(data)
    floats = {name: value.contiguous() for name, value in state.items() if value.is_floating_point()}
    save_file(floats, OUT / "tensors.safetensors", metadata={"format": "pt"})
    save_file({name: value.half() for name, value in floats.items()}, OUT / "half.safetensors", metadata={"format": "pt"})
    save_file({name: value.bfloat16() for name, value in floats.items()}, OUT / "bfloat16.safetensors")


def views(state):
    """The same tensors as views: of one storage with gaps, column-major, and repeated."""
    floats = [(name, value) for name, value in state.items() if value.is_floating_point()]
    pool = torch.cat([torch.cat([value.reshape(-1), torch.full((3,), 9.0)]) for _, value in floats])
    out, at = OrderedDict(), 0
    for name, value in floats:
        out[name] = pool[at : at + value.numel()].view(value.shape)
        at += value.numel() + 3
    linear = out["head.1.weight"]
    out["head.1.weight"] = linear.t().contiguous().t()
    kernel = out["block.conv.weight"]
    out["block.conv.weight"] = kernel.contiguous(memory_format=torch.channels_last)
    out["repeated"] = torch.tensor([2.0]).expand(3, 2)
    return out


def nets():
    """Small widths of the nets that are recognized without being torchvision's."""
    for name, net, shape in [
        ("cifar_resnet_a", CifarResNet([2, 4, 8], [2, 1, 1], "A"), (1, 3, 16, 16)),
        ("cifar_resnet_b", CifarResNet([2, 4, 6], [1, 2, 1], "B"), (1, 3, 16, 16)),
        ("tutorial", Tutorial(), (1, 3, 32, 32)),
        ("mnist_example", MnistExample(), (1, 1, 28, 28)),
        ("burn_mnist", BurnMnist(), (1, 1, 28, 28)),
    ]:
        randomize(net, 7)
        torch.save(net.state_dict(), OUT / f"{name}.pt", _use_new_zipfile_serialization=False)
        net = net.double()
        x = torch.rand(shape, generator=torch.Generator().manual_seed(5)).double().requires_grad_()
        tensors = {"input": x.detach().float()}
        blobs = net(x)
        for layer, blob in blobs.items():
            tensors[f"blob:{layer}"] = blob.detach().float()
        (gradient,) = torch.autograd.grad(0.5 * (blob * blob).sum(), x)  # Of the last one.
        tensors[f"gradient:{layer}"] = gradient.float()
        save_file(tensors, OUT / f"{name}.safetensors")


class BasicBlock(nn.Module):
    def __init__(self, before, after, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.added = stride, after - before
        self.shortcut = nn.Sequential()
        if option == "B" and (stride != 1 or before != after):
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if len(self.shortcut):
            x = self.shortcut(x)
        else:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    def __init__(self, widths, blocks, option):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        before = widths[0]
        for stage, (width, count) in enumerate(zip(widths, blocks), 1):
            layers = []
            for block in range(count):
                layers.append(BasicBlock(before, width, 2 if stage > 1 and block == 0 else 1, option))
                before = width
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.linear = nn.Linear(before, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer1(x)
        blobs = {"layer2": self.layer2(x)}
        x = self.layer3(blobs["layer2"])
        blobs["linear"] = self.linear(F.avg_pool2d(x, x.shape[-1]).flatten(1))
        return blobs


class Tutorial(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 5)
        self.conv2 = nn.Conv2d(2, 4, 5)
        self.fc1 = nn.Linear(4 * 5 * 5, 7)
        self.fc2 = nn.Linear(7, 6)
        self.fc3 = nn.Linear(6, 10)

    def forward(self, x):
        pool1 = F.max_pool2d(F.relu(self.conv1(x)), 2)
        pool2 = F.max_pool2d(F.relu(self.conv2(pool1)), 2)
        fc1 = self.fc1(pool2.flatten(1))
        fc3 = self.fc3(F.relu(self.fc2(F.relu(fc1))))
        return {"pool1": pool1, "fc1": fc1, "fc3": fc3}


class MnistExample(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.conv2 = nn.Conv2d(2, 3, 3)
        self.fc1 = nn.Linear(3 * 12 * 12, 4)
        self.fc2 = nn.Linear(4, 10)

    def forward(self, x):
        pool = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        return {"pool": pool, "fc2": self.fc2(F.relu(self.fc1(pool.flatten(1))))}


class BurnMnist(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.conv2 = nn.Conv2d(2, 2, 3)
        self.conv3 = nn.Conv2d(2, 1, 3)
        self.norm1 = nn.BatchNorm2d(1)
        self.fc1 = nn.Linear(22 * 22, 4)
        self.fc2 = nn.Linear(4, 10)
        self.norm2 = nn.BatchNorm1d(10)

    def forward(self, x):
        x = F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))
        norm1 = self.norm1(x)
        return {"norm1": norm1, "norm2": self.norm2(self.fc2(F.relu(self.fc1(norm1.flatten(1)))))}


# timm's name, torchvision's.
TIMM = [
    ("vgg11_bn", "vgg11_bn"),
    ("mobilenetv2_100", "mobilenet_v2"),
    ("mobilenetv3_small_100", "mobilenet_v3_small"),
    ("efficientnet_b0", "efficientnet_b0"),
    ("regnetx_004_tv", "regnet_x_400mf"),
    ("regnety_004", "regnet_y_400mf"),
]


def regnet_name(name):
    """torchvision's name of timm's; they list the tensors of a block in different orders."""
    name = name.replace("head.fc.", "fc.")
    name = re.sub(r"^stem\.conv\.", "stem.0.", re.sub(r"^stem\.bn\.", "stem.1.", name))
    block = re.match(r"s(\d)\.b(\d+)\.(.*)", name)
    if not block:
        return name
    rest = block[3].replace("downsample.", "proj.").replace("se.", "f.se.")
    rest = re.sub(r"^conv([123])\.", lambda match: f"f.{'abc'[int(match[1]) - 1]}.", rest)
    rest = re.sub(r"\.conv\.", ".0.", re.sub(r"\.bn\.", ".1.", rest))
    return f"trunk_output.block{block[1]}.block{block[1]}-{int(block[2]) - 1}.{rest}"


def timm_names():
    all_pairs = {}
    for timm_name, name in TIMM:
        theirs = randomize(timm.create_model(timm_name), 3)
        ours = torchvision.models.get_model(name, weights=None).eval()
        state = theirs.state_dict()
        if "regnet" in name:
            pairs = [(key, regnet_name(key)) for key in state]
        else:
            pairs = list(zip(state, ours.state_dict(), strict=True))
        shapes = {key: value.shape for key, value in ours.state_dict().items()}
        ours.load_state_dict({new: state[old].reshape(shapes[new]) for old, new in pairs}, strict=True)
        for module in ours.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-5  # timm's, where torchvision's is another.
        x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected, got = theirs(x), ours(x)
        error = float((expected - got).abs().max() / expected.abs().max())
        print(timm_name, f"{error:.1e}")
        assert error < 1e-5
        # Of a batch norm's four tensors one is enough.
        skipped = ("running_mean", "running_var", "num_batches_tracked", "bias")
        all_pairs[name] = [pair for pair in pairs if not pair[0].endswith(skipped) or "conv_head" in pair[0]]
    (OUT / "timm_names.json").write_text(json.dumps(all_pairs, separators=(",", ":")).replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    sys.modules.setdefault("pytorch_nets", sys.modules["__main__"])
    checkpoints()
    nets()
    timm_names()
