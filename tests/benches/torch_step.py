#!/usr/bin/env python3
"""The steps of `oneiric bench` in PyTorch on the CPU: forward to a layer, and the gradient of half the squared norm of
its activations with respect to the picture; weights frozen, batch 1.

Modes: `default` is PyTorch as one uses it. `tuned` folds batch norms into convolutions and keeps tensors channels-last;
start that one with MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592, so that glibc keeps its pages
from step to step. Weights are random: only time is measured.

Prints a JSON line a measurement: net, size_px, mode, median_ms, min_ms, rounds, threads. `peer.sh` runs it.
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


def up_to(net, child):
    """The children of a net in order, as far as the named one."""
    children = list(net.named_children())
    last = [name for name, _ in children].index(child)
    return nn.Sequential(*(module for _, module in children[: last + 1]))


def build(name):
    models = torchvision.models
    match name:
        case "lite0":
            return efficientnet_lite0(last_block=9)
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


def measure(net, size_px, memory_format, rounds):
    """Step times in milliseconds, sorted."""
    picture = (torch.rand(1, 3, size_px, size_px) * 2 - 1).contiguous(memory_format=memory_format)
    times = []
    for _ in range(WARM_UP_STEPS + rounds):
        x = picture.clone(memory_format=torch.preserve_format).requires_grad_()
        start = time.perf_counter()
        blob = net(x)
        (0.5 * (blob * blob).sum()).backward()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times[WARM_UP_STEPS:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default="lite0,googlenet,vgg16,resnet50,squeezenet")
    parser.add_argument("--sizes", default="224,512", help="picture sides in pixels")
    parser.add_argument("--modes", default="default,tuned")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for name in options.nets.split(","):
        for mode in options.modes.split(","):
            net = build(name).eval().requires_grad_(False)
            memory_format = torch.contiguous_format
            if mode == "tuned":
                fold_batch_norms(net)
                net.requires_grad_(False)
                memory_format = torch.channels_last
                net = net.to(memory_format=memory_format)
            for size_px in map(int, options.sizes.split(",")):
                times = measure(net, size_px, memory_format, options.rounds)
                line = {"net": name, "size_px": size_px, "mode": mode, "median_ms": round(times[len(times) // 2], 3),
                        "min_ms": round(times[0], 3), "rounds": options.rounds, "threads": torch.get_num_threads()}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
