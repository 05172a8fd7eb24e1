#!/usr/bin/env python3
"""Writes tests/data/golden/google2015*: the dream of Mordvintsev 2015 on EfficientNet-Lite0, in PyTorch.

    pip install torch==2.15.0 safetensors==0.8.0 numpy==2.4.6 pillow==13.0.0
    python tests/refs/google2015.py

google2015_input.png   192x144 pixels of assets/chelsea.png, made only where it is missing
google2015_RUN.png     the result of each of RUNS
google2015.json        for each run: layer, octaves, steps an octave, the jitter of every step in order as [dx, dy], mean |g|
                       at every step, and the least PSNR that is demanded of an f32 engine

A step, on a picture in 0-255 units held in floating point: roll by dx columns and dy rows (wrapping around); g = the
gradient of half the sum of squares of the layer's output with respect to the picture; x += 1.5 g / mean|g|; roll back;
clip to 0-255. Octaves as in the 2015 notebook: each base is the one before it scaled by 1/1.4, sizes rounded; the detail
(result minus base) of an octave is scaled up and added to the next base. Scaling is linear with corner pixels mapped to
corner pixels and no smoothing, as scipy.ndimage.zoom(order=1) does it. Computed in f64; only the results are rounded to bytes.

The gradient of a net of ReLUs jumps where an activation crosses a kink, so a difference in the last bit of f32 grows
severalfold a step: after ten steps at block 7, PyTorch in f32 is at 35 to 44 dB from PyTorch in f64, whatever the photo, and
after forty at 30 dB. Layers and lengths of RUNS are chosen so that an f32 engine whose rounding is several times worse
still meets the demand (`worst of` below), and a wrong sign, order or scaling does not (`from the photo`).
"""

import json

import numpy as np
import torch
from PIL import Image

from lite0_net import GOLDEN, ROOT, Lite0, preprocess

STEP_SIZE, SCALE, JITTER_PX = 1.5, 1.4, 32

# name: layer, octaves, steps an octave, least PSNR in dB
RUNS = {
    "ten_steps": ("block2", 1, 10, 40),
    "four_octaves": ("block2", 4, 2, 40),
    "deep_layer": ("block7", 1, 3, 50),
}


def input_picture():
    path = GOLDEN / "google2015_input.png"
    if not path.exists():
        photo = Image.open(ROOT / "assets/chelsea.png").convert("RGB").resize((289, 192), Image.Resampling.BICUBIC)
        photo.crop((48, 24, 240, 168)).save(path, optimize=True)
    return np.asarray(Image.open(path)).astype(np.float64)


def step(x, net, layer, jitter, mean_abs):
    dx, dy = jitter
    x = np.roll(x, (dy, dx), axis=(0, 1))
    pixels = torch.tensor(x, dtype=net.weights["logits/bias"].dtype, requires_grad=True)
    activations = net(preprocess(pixels), layer)
    (g,) = torch.autograd.grad((activations * activations).sum() / 2, pixels)
    g = g.double().numpy()
    mean_abs.append(float(np.abs(g).mean()))
    x = x + STEP_SIZE * g / np.abs(g).mean()
    return np.clip(np.roll(x, (-dy, -dx), axis=(0, 1)), 0, 255)


def zoom(x, height, width):
    """Linear in each axis, corner pixels to corner pixels."""
    for axis, size in ((0, height), (1, width)):
        at = np.linspace(0, x.shape[axis] - 1, size)
        low = np.clip(np.floor(at).astype(int), 0, max(x.shape[axis] - 2, 0))
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, x.shape[axis] - 1)
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def dream(picture, net, layer, octaves, steps, jitters):
    """The result, and mean |g| at every step."""
    bases = [picture]
    for _ in range(octaves - 1):
        height, width, _ = bases[-1].shape
        bases.append(zoom(bases[-1], round(height / SCALE), round(width / SCALE)))
    detail, jitters, mean_abs = np.zeros_like(bases[-1]), iter(jitters), []
    for base in reversed(bases):
        detail = zoom(detail, *base.shape[:2])
        x = base + detail
        for _ in range(steps):
            x = step(x, net, layer, next(jitters), mean_abs)
        detail = x - base
    return x, mean_abs


def psnr_db(a, b):
    return float(10 * np.log10(255**2 / np.mean((a - b) ** 2)))


def main():
    draw = np.random.default_rng(2015)
    picture, double, single, record = input_picture(), Lite0(torch.float64), Lite0(torch.float32), {}
    for name, (layer, octaves, steps, least_db) in RUNS.items():
        jitters = draw.integers(-JITTER_PX, JITTER_PX + 1, (octaves * steps, 2)).tolist()
        result, mean_abs = dream(picture, double, layer, octaves, steps, jitters)
        rounded = np.rint(result).astype(np.uint8)
        Image.fromarray(rounded).save(GOLDEN / f"google2015_{name}.png", optimize=True)
        record[name] = {
            "layer": layer,
            "octaves": octaves,
            "steps": steps,
            "jitter_px": jitters,
            "mean_abs_gradient": mean_abs,
            "least_psnr_db": least_db,
        }
        others = [picture] + [picture + 1e-4 * draw.standard_normal(picture.shape) for _ in range(8)]
        in_f32 = [psnr_db(rounded, dream(other, single, layer, octaves, steps, jitters)[0]) for other in others]
        print(
            f"{name}: {psnr_db(picture, result):.1f} dB from the photo; PyTorch in f32 is at {in_f32[0]:.1f} dB from the"
            f" rounded result, at {min(in_f32):.1f} dB in the worst of 8 runs from a photo with noise of 1e-4 grey levels"
        )
    (GOLDEN / "google2015.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
