#!/usr/bin/env python3
"""A deep dream by the algorithm of Google's 2015 notebook, for tests/it/dream.rs.

Made with Python 3.11, torch 2.15.0, numpy 2.4.6, scipy 1.17.1, safetensors 0.8.0 on the CPU, in float64:

    python3 tests/refs/dream_google_2015.py

Writes tests/data/dream_google_2015.safetensors: a photo, the weights of a small net that takes BGR pictures with a mean
subtracted, the shifts of all steps, the dream after the first 10 steps (the smallest octave, no others) and the whole
dream of 3 octaves. The net: convolution 5x5 stride 2, ReLU, convolution 3x3, ReLU; the target is the last.
"""
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from scipy import ndimage

OUT = Path(__file__).parent.parent / "data" / "dream_google_2015.safetensors"
HEIGHT, WIDTH = 66, 90
OCTAVES, OCTAVE_SCALE, STEPS, STEP_SIZE, JITTER = 3, 1.4, 10, 1.5, 32
MEAN_BGR = np.array([104.0, 117.0, 123.0]).reshape(3, 1, 1)


def smooth_photo(rng):
    """RGB, 0 to 255, whole numbers as in a file."""
    noise = ndimage.gaussian_filter(rng.normal(size=(3, HEIGHT, WIDTH)), (0, 3, 3), mode="wrap")
    return np.rint(np.clip(128 + 60 * noise / noise.std(), 0, 255))


def make_weights(rng):
    def layer(outs, ins, kernel):
        reach = np.sqrt(6 / (ins * kernel * kernel))
        return rng.uniform(-reach, reach, (outs, ins, kernel, kernel)), rng.uniform(-0.1, 0.1, outs)

    return *layer(8, 3, 5), *layer(12, 8, 3)


def gradient(net, source):
    """Of half the squared norm of the target with respect to `source`, channels x height x width."""
    x = torch.from_numpy(source.copy())[None].requires_grad_(True)
    first, first_bias, second, second_bias = net
    x1 = torch.relu(torch.nn.functional.conv2d(x, first, first_bias, stride=2, padding=2))
    x2 = torch.relu(torch.nn.functional.conv2d(x1, second, second_bias, padding=1))
    (0.5 * (x2 * x2).sum()).backward()
    return x.grad[0].numpy()


def make_step(net, source, shift):
    right, down = shift
    source = np.roll(np.roll(source, right, -1), down, -2)
    g = gradient(net, source)
    source = source + STEP_SIZE / np.abs(g).mean() * g
    source = np.roll(np.roll(source, -right, -1), -down, -2)
    return np.clip(source, -MEAN_BGR, 255 - MEAN_BGR)


def dream(net, photo_rgb, shifts, octave_count):
    octaves = [photo_rgb[::-1] - MEAN_BGR]
    for _ in range(octave_count - 1):
        octaves.append(ndimage.zoom(octaves[-1], (1, 1 / OCTAVE_SCALE, 1 / OCTAVE_SCALE), order=1))
    detail = np.zeros_like(octaves[-1])
    shifts = iter(shifts)
    for octave, base in enumerate(octaves[::-1]):
        height, width = base.shape[-2:]
        if octave > 0:
            old_height, old_width = detail.shape[-2:]
            detail = ndimage.zoom(detail, (1, height / old_height, width / old_width), order=1)
        source = base + detail
        for _ in range(STEPS):
            source = make_step(net, source, next(shifts))
        detail = source - base
    return (source + MEAN_BGR)[::-1]


def interleaved(rgb):
    return np.ascontiguousarray(rgb.transpose(1, 2, 0), dtype=np.float32)


def main():
    rng = np.random.default_rng(2015)
    photo = smooth_photo(rng)
    # What is stored is what is used: everything is rounded to float32 first.
    weights = [array.astype(np.float32) for array in make_weights(rng)]
    net = [torch.from_numpy(array.astype(np.float64)) for array in weights]
    shifts = rng.integers(-JITTER, JITTER + 1, (OCTAVES * STEPS, 2), dtype=np.int32)
    save_file(
        {
            "photo": interleaved(photo),
            "first.weight": weights[0],
            "first.bias": weights[1],
            "second.weight": weights[2],
            "second.bias": weights[3],
            "shifts": shifts,
            "one_octave": interleaved(dream(net, photo, shifts, 1)),
            "dream": interleaved(dream(net, photo, shifts, OCTAVES)),
        },
        OUT,
    )


if __name__ == "__main__":
    main()
