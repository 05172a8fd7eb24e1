#!/usr/bin/env python3
"""Writes tests/data/golden/{china,flower,chelsea}.png and lite0.safetensors: EfficientNet-Lite0 in PyTorch.

    pip install torch==2.15.0 safetensors==0.8.0 numpy==2.4.6 pillow==13.0.0
    python tests/refs/lite0.py

The pictures are made only where they are missing (another Pillow may resize to other bytes); all else is computed from
them, in f64, from the weights of models/efficientnet-lite0.safetensors, and stored as f32.

Every case is a crop from the top left of one picture, named `photo_HxW`. Tensors of a case, all flattened from NCHW:
  logits           1000 values (only at 224x224)
  d_logit          gradient of the largest logit with respect to the preprocessed input (only at 224x224)
  block7           the output of block 7
  d_block7         gradient of half the sum of its squares with respect to the preprocessed input
  d_*/undecided    one bit a value of that gradient, lowest bit of a byte first: see below
`d_*` and `block7` are stored whole for WHOLE and as every STRIDE-th value, from the first on, for the other cases.

In f32 a few of the millions of ReLU6 inputs round to the other side of 0 or 6, and the gradient jumps: PyTorch's own f32
gradients differ from its f64 ones by up to a fifth of the largest value, in a few pixels. So every gate whose input lies
within MARGIN times the f32 error of its channel of a kink is switched alone, and a gradient value is called undecided
where these switches together change it by more than TOLERANCE of the largest. An f64 engine must agree everywhere, an
f32 engine wherever the gradient is decided.
"""

import json

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from lite0_net import GOLDEN, ROOT, WEIGHTS, Lite0, preprocess

PHOTOS = {"china": "china.jpg", "flower": "flower.jpg", "chelsea": "chelsea.png"}
CASES = [("china", 224, 224), ("flower", 224, 224), ("chelsea", 224, 224), ("china", 160, 224), ("chelsea", 161, 223)]
WHOLE = "chelsea_224x224"
STRIDE = 13
MARGIN = 8
TOLERANCE = 5e-4


def picture(name):
    """The photo with its shorter side at 256 px and the central 224x224 cut out, as RGB bytes."""
    path = GOLDEN / f"{name}.png"
    if not path.exists():
        photo = Image.open(ROOT / "assets" / PHOTOS[name]).convert("RGB")
        factor = 256 / min(photo.size)
        photo = photo.resize([round(side * factor) for side in photo.size], Image.Resampling.BICUBIC)
        left, top = (photo.width - 224) // 2, (photo.height - 224) // 2
        photo.crop((left, top, left + 224, top + 224)).save(path, optimize=True)
    return np.asarray(Image.open(path))


class Gate(torch.autograd.Function):
    """ReLU6 whose backward pass can be told to treat one element the other way."""

    @staticmethod
    def forward(ctx, x, name, net):
        ctx.save_for_backward(x)
        ctx.name, ctx.net = name, net
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        is_open = (x > 0) & (x < 6)
        if ctx.net.switched is not None and ctx.net.switched[0] == ctx.name:
            is_open.view(-1)[ctx.net.switched[1]] ^= True
        return grad * is_open, None, None


class GatedLite0(Lite0):
    """Remembers the input of every gate; `switched` is None or (gate, element)."""

    def __init__(self, dtype):
        super().__init__(dtype)
        self.gates, self.switched = {}, None

    def relu6(self, name, x):
        self.gates[name] = x.detach()
        return Gate.apply(x, name, self)


OBJECTIVES = {
    "logits": ("d_logit", lambda y: y.max()),
    "block7": ("d_block7", lambda y: (y * y).sum() / 2),
}


def near_kinks(double, single):
    """The gates whose input f32 arithmetic cannot place on one side of a kink."""
    for name, x in double.gates.items():
        error = (single.gates[name] - x).square().mean((0, 2, 3), keepdim=True).sqrt() * MARGIN
        near = (x.abs() < error) | ((x - 6).abs() < error)
        yield from ((name, element) for element in near.flatten().nonzero().flatten().tolist())


def forward(net, rgb, until, dtype):
    net.gates.clear()
    x = preprocess(torch.tensor(rgb, dtype=dtype)).requires_grad_()
    y = net(x, until)
    return x, y, OBJECTIVES[until][1](y)


def compute(rgb, until, double, single):
    """The output, its gradient, what is undecided in it, and how far PyTorch's f32 gradient is where it is decided."""
    x, y, objective = forward(double, rgb, until, torch.float64)
    x32, _, objective32 = forward(single, rgb, until, torch.float32)
    (d_x,) = torch.autograd.grad(objective, x, retain_graph=True)
    (d_x32,) = torch.autograd.grad(objective32, x32)
    doubt, near = torch.zeros_like(d_x), list(near_kinks(double, single))
    for double.switched in near:
        doubt += (torch.autograd.grad(objective, x, retain_graph=True)[0] - d_x).abs()
    double.switched = None
    largest = d_x.abs().max()
    undecided = doubt > TOLERANCE * largest
    error = ((d_x32 - d_x).abs() / largest).numpy()
    print(
        f"  {until}: {len(near)} gates near a kink leave {undecided.double().mean():.2%} of the gradient undecided;"
        f" PyTorch in f32 is off by {error.max():.1e} of the largest, by {error[~undecided.numpy()].max():.1e} elsewhere"
    )
    return [tensor.detach().flatten().numpy() for tensor in (y, d_x, undecided)]


def main():
    double, single = GatedLite0(torch.float64), GatedLite0(torch.float32)
    with safe_open(WEIGHTS, "np") as file:
        labels = json.loads(file.metadata()["oneiric"])["labels"]
    tensors = {}
    for photo, height, width in CASES:
        case = f"{photo}_{height}x{width}"
        rgb = picture(photo)[:height, :width].copy()
        print(case)
        step = 1 if case == WHOLE else STRIDE
        for until in ["logits", "block7"] if (height, width) == (224, 224) else ["block7"]:
            y, d_x, undecided = compute(rgb, until, double, single)
            gradient = OBJECTIVES[until][0]
            tensors[f"{case}/{until}"] = y[:: 1 if until == "logits" else step].astype(np.float32)
            tensors[f"{case}/{gradient}"] = d_x[::step].astype(np.float32)
            tensors[f"{case}/{gradient}/undecided"] = np.packbits(undecided[::step], bitorder="little")
            if until == "logits":
                print("  top:", [(int(i), labels[i], round(float(y[i]), 3)) for i in np.argsort(-y)[:3]])
    (GOLDEN / "lite0.safetensors").write_bytes(save(tensors))


if __name__ == "__main__":
    main()
