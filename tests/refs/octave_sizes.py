"""Sizes of octaves as Google's 2015 notebook makes them: scipy.ndimage.zoom rounds len * zoom to an output length.

Python 3.11 without packages: scipy's rule is `int(round(length * zoom))`, in `scipy/ndimage/_interpolation.py`.
The numbers are asserted in src/tasks/dream/sizes.rs.
"""


def octaves(size, count, scale):
    sizes = [size]
    for _ in range(count - 1):
        sizes.append(tuple(int(round(length * (1.0 / scale))) for length in sizes[-1]))
    return sizes


print(octaves((575, 1024), 4, 1.4))
print(octaves((5, 7), 3, 2.0))
