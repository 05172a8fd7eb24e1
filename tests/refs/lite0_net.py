"""EfficientNet-Lite0 as a PyTorch module, built from the table of stages; only its weights come from the net's file.

Shared by lite0.py and google2015.py. Made with Python 3.11, torch 2.15.0, safetensors 0.8.0, numpy 2.4.6, pillow 13.0.0.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/data/golden"
WEIGHTS = ROOT / "models/efficientnet-lite0.safetensors"

# repeats, kernel, stride of the first repeat, expansion, input channels, output channels
STAGES = [
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]


def same_conv(x, weight, stride, groups=1):
    """A convolution with TensorFlow's SAME padding: the odd pixel goes right and below."""
    kernel = weight.shape[-1]
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)


class Lite0(torch.nn.Module):
    """Call it with a preprocessed batch; `until="block7"` returns that block's output instead of logits."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        self.weights = {name: tensor.to(dtype) for name, tensor in load_file(WEIGHTS).items()}
        self.blocks = []
        for repeats, _, first_stride, expansion, stage_in, c_out in STAGES:
            for repeat in range(repeats):
                c_in, stride = (stage_in, first_stride) if repeat == 0 else (c_out, 1)
                self.blocks.append((stride, expansion, c_in, c_out))

    def conv_bn(self, x, name, bn, stride=1, groups=1, relu6=True):
        x = same_conv(x, self.weights[f"{name}/weight"], stride, groups)
        gamma, beta, mean, variance = (self.weights[f"{bn}/{part}"] for part in ("gamma", "beta", "mean", "variance"))
        x = F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=1e-3)
        return self.relu6(name, x) if relu6 else x

    def relu6(self, name, x):
        return F.relu6(x)

    def block(self, index, x):
        stride, expansion, c_in, c_out = self.blocks[index]
        name, entry, wide = f"block{index}", x, c_in * expansion
        if expansion != 1:
            x = self.conv_bn(x, f"{name}/expand", f"{name}/expand/bn")
        x = self.conv_bn(x, f"{name}/depthwise", f"{name}/depthwise/bn", stride, groups=wide)
        x = self.conv_bn(x, f"{name}/project", f"{name}/project/bn", relu6=False)
        return x + entry if stride == 1 and c_in == c_out else x

    def forward(self, x, until="logits"):
        x = self.conv_bn(x, "stem/conv", "stem/bn", stride=2)
        for index in range(len(self.blocks)):
            x = self.block(index, x)
            if until == f"block{index}":
                return x
        x = self.conv_bn(x, "head/conv", "head/bn")
        return F.linear(x.mean((2, 3)), self.weights["logits/weight"], self.weights["logits/bias"])


def preprocess(rgb):
    """A picture in 0-255 units (height, width, RGB) to the net's input."""
    return ((rgb - 127) / 128).permute(2, 0, 1)[None]
