#!/usr/bin/env python3
"""Sizes of octaves as Google's 2015 notebook makes them, for src/tasks/dream/sizes.rs.

Made with Python 3.11, numpy 2.4.6, scipy 1.17.1:

    python3 tests/refs/octave_sizes.py
"""
import numpy as np
from scipy import ndimage


def octave_sizes(size, count, scale):
    pictures = [np.zeros((3, *size), np.float32)]
    for _ in range(count - 1):
        pictures.append(ndimage.zoom(pictures[-1], (1, 1.0 / scale, 1.0 / scale), order=1))
    return [picture.shape[1:] for picture in pictures]


print(octave_sizes((575, 1024), 4, 1.4))
print(octave_sizes((5, 7), 3, 2.0))
