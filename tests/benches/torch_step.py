#!/usr/bin/env python3
"""The steps of `oneiric bench` in PyTorch on the CPU. `dream`: forward to a layer, and the gradient of half the squared
norm of its activations with respect to the picture; weights frozen, batch 1. `forward`: a batch to the class scores,
without gradients. `train`: a step of stochastic gradient descent with momentum and weight decay.

Modes: `default` is PyTorch as one uses it. `tuned` folds batch norms into convolutions and keeps tensors channels-last;
start that one with MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592, so that glibc keeps its pages
from step to step. Weights are random: only time is measured.

Prints a JSON line a measurement: kind, net, size_px, batch, mode, median_ms, min_ms, rounds, threads. `peer.sh` runs it.
"""
import argparse
import json
import os
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

WARM_UP_STEPS = 2


class SameConv(nn.Conv2d):
    """TensorFlow's SAME padding: an odd pixel goes right and below."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[:-3:-1], self.kernel_size[::-1], self.stride[::-1]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def conv_norm(inputs, outputs, kernel, stride=1, groups=1):
    return [SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs, eps=1e-3)]


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        expand = [*conv_norm(inputs, wide, 1), nn.ReLU6()] if expansion > 1 else []
        depthwise = [*conv_norm(wide, wide, kernel, stride, groups=wide), nn.ReLU6()]
        self.branch = nn.Sequential(*expand, *depthwise, *conv_norm(wide, outputs, 1))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.branch(x) if self.adds else self.branch(x)


def efficientnet_lite0(last_block):
    """Up to the output of a block, counted from 0."""
    # Repeats, kernel, stride, expansion, output channels (Tan 2019, the Lite variant of its authors).
    stages = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
              (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
    stem, channels, blocks = [*conv_norm(3, 32, 3, 2), nn.ReLU6()], 32, []
    for repeats, kernel, stride, expansion, outputs in stages:
        for i in range(repeats):
            blocks.append(InvertedResidual(channels, outputs, kernel, stride if i == 0 else 1, expansion))
            channels = outputs
    return nn.Sequential(*stem, *blocks[: last_block + 1])


class BvlcInception(nn.Module):
    def __init__(self, inputs, one, three_reduce, three, five_reduce, five, pooled):
        super().__init__()
        relu = lambda *layers: [part for layer in layers for part in (layer, nn.ReLU())]
        self.branches = nn.ModuleList([
            nn.Sequential(*relu(nn.Conv2d(inputs, one, 1))),
            nn.Sequential(*relu(nn.Conv2d(inputs, three_reduce, 1), nn.Conv2d(three_reduce, three, 3, padding=1))),
            nn.Sequential(*relu(nn.Conv2d(inputs, five_reduce, 1), nn.Conv2d(five_reduce, five, 5, padding=2))),
            nn.Sequential(nn.MaxPool2d(3, 1, padding=1), *relu(nn.Conv2d(inputs, pooled, 1))),
        ])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def googlenet_bvlc():
    """Caffe's GoogLeNet to inception_4c/output (Szegedy 2014, as its model zoo publishes it)."""
    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    norm = lambda: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3), nn.ReLU(), pool(), norm(),
        nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 192, 3, padding=1), nn.ReLU(), norm(), pool(),
        BvlcInception(192, 64, 96, 128, 16, 32, 32), BvlcInception(256, 128, 128, 192, 32, 96, 64), pool(),
        BvlcInception(480, 192, 96, 208, 16, 48, 64), BvlcInception(512, 160, 112, 224, 24, 64, 64),
        BvlcInception(512, 128, 128, 256, 24, 64, 64))


def lenet():
    """Caffe's LeNet for MNIST."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))


def cifar10_quick():
    """Caffe's quick net for CIFAR-10."""
    average = lambda: nn.AvgPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), average(), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), average(),
        nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10))


# The batch and the picture, channels × side, of what is not a dream.
FORWARD = {"lite0": (32, 3, 224), "lenet": (400, 1, 28)}
TRAIN = {"lenet": (64, 1, 28), "cifar10-quick": (64, 3, 32)}
SMALL = {"lenet", "cifar10-quick"}


def up_to(net, child):
    """The children of a net in order, as far as the named one."""
    children = list(net.named_children())
    last = [name for name, _ in children].index(child)
    return nn.Sequential(*(module for _, module in children[: last + 1]))


def build(name, kind):
    models = torchvision.models
    match name:
        case "lite0" if kind == "forward":
            head = [*conv_norm(320, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
            return nn.Sequential(*efficientnet_lite0(last_block=15), *head)
        case "lite0":
            return efficientnet_lite0(last_block=9)
        case "googlenet-bvlc":
            return googlenet_bvlc()
        case "lenet":
            return lenet()
        case "cifar10-quick":
            return cifar10_quick()
        case "googlenet":
            return up_to(models.googlenet(weights=None, init_weights=False, aux_logits=False), "inception4c")
        case "vgg16":
            return up_to(models.vgg16(weights=None).features, "25")
        case "resnet50":
            return up_to(models.resnet50(weights=None), "layer3")
        case "squeezenet":
            return models.squeezenet1_1(weights=None).features
    raise SystemExit(f"there is no benchmark net {name}")


def fold_batch_norms(module):
    """Folds every batch norm that directly follows a convolution into it."""
    children = list(module.named_children())
    for (_, conv), (name, norm) in zip(children, children[1:]):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            conv.weight, conv.bias = nn.utils.fusion.fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            module._modules[name] = nn.Identity()
    for child in module.children():
        fold_batch_norms(child)


def dream(net, pictures):
    x = pictures.clone(memory_format=torch.preserve_format).requires_grad_()

    def step():
        x.grad = None
        blob = net(x)
        (0.5 * (blob * blob).sum()).backward()

    return step


def forward(net, pictures):
    def step():
        with torch.inference_mode():
            net(pictures)

    return step


def train(net, pictures):
    net.train().requires_grad_(True)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    labels = torch.arange(len(pictures)) % 10

    def step():
        optimizer.zero_grad()
        F.cross_entropy(net(pictures), labels).backward()
        optimizer.step()

    return step


KINDS = {"dream": dream, "forward": forward, "train": train}


def shapes(kind, name, sizes_px):
    """The batch, channels and side of what a kind measures of a net."""
    if kind == "dream":
        return [] if name in SMALL else [(1, 3, size_px) for size_px in sizes_px]
    of_kind = FORWARD if kind == "forward" else TRAIN
    return [of_kind[name]] if name in of_kind else []


def measure(step, rounds):
    """Step times in milliseconds, sorted."""
    times = []
    for _ in range(WARM_UP_STEPS + rounds):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times[WARM_UP_STEPS:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument(
        "--nets", default="lite0,googlenet,googlenet-bvlc,vgg16,resnet50,squeezenet,lenet,cifar10-quick")
    parser.add_argument("--sizes", default="224,512", help="picture sides of dream steps, in pixels")
    parser.add_argument("--modes", default="default,tuned")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    sizes_px = [int(size) for size in options.sizes.split(",")]
    todo = [(kind, name, mode, shape) for kind in options.kinds.split(",") for name in options.nets.split(",")
            for mode in options.modes.split(",") for shape in shapes(kind, name, sizes_px)]
    for kind, name, mode, (batch, channels, size_px) in todo:
        net = build(name, kind).eval().requires_grad_(False)
        memory_format = torch.contiguous_format
        if mode == "tuned":
            fold_batch_norms(net)
            memory_format = torch.channels_last
            net = net.requires_grad_(False).to(memory_format=memory_format)
        pictures = (torch.rand(batch, channels, size_px, size_px) * 2 - 1).contiguous(memory_format=memory_format)
        times = measure(KINDS[kind](net, pictures), options.rounds)
        line = {"kind": kind, "net": name, "size_px": size_px, "batch": batch, "mode": mode,
                "median_ms": round(times[len(times) // 2], 3), "min_ms": round(times[0], 3),
                "rounds": options.rounds, "threads": torch.get_num_threads(), "torch": torch.__version__}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
