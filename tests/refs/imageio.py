"""Makes tests/data/pictures: small files of every kind, and what other libraries read in them.

    python tests/refs/imageio.py

Made with Python 3.11.7, Pillow 13.0.0 (libjpeg-turbo, libwebp, libtiff), NumPy 2.4.6, SciPy 1.17.1.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
from scipy import ndimage

OUT = pathlib.Path(__file__).parent.parent / "data" / "pictures"
WIDTH, HEIGHT = 21, 14


def formula():
    """The picture in every lossless file; the tests in Rust repeat it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgba = np.stack([x * 12, y * 18, (x * y * 7) % 256, 255 - x * 10], axis=-1)
    return rgba.astype(np.uint8)


def smooth(channels):
    """A picture that lossy formats keep well."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [128 + 90 * np.sin(x / (5 + c) + c) * np.cos(y / (4 + c)) for c in range(channels)]
    return np.stack(waves, axis=-1).round().astype(np.uint8)


def save(image, name, **options):
    image.save(OUT / name, **options)
    return name


def lossless():
    rgba = formula()
    rgb = rgba[..., :3]
    save(Image.fromarray(rgb), "rgb.bmp")
    save(Image.fromarray(rgb), "rgb-lzw.tif", compression="tiff_lzw")
    save(Image.fromarray(rgba), "rgba.tif")
    save(Image.fromarray(rgba), "rgba.webp", lossless=True, exact=True)
    save(Image.fromarray(rgba), "rgba.png")
    (OUT / "rgba-interlaced.png").write_bytes(interlaced(rgba))
    save(Image.fromarray(rgb[..., 0]), "gray.png")
    save(Image.fromarray(rgb[..., 0]).convert("1"), "bilevel.png")
    words = rgb[..., 0].astype(np.uint16) * 256 + rgb[..., 1]
    save(Image.fromarray(words), "gray16.png")
    save(Image.fromarray(words), "gray16.tif")
    # A colour a column; in the PNG column 3 is clear and column 4 half clear, in one GIF column 3 is clear.
    palette = Image.fromarray(np.tile(np.arange(WIDTH, dtype=np.uint8), (HEIGHT, 1))).convert("P")
    palette.putpalette([value for i in range(WIDTH) for value in (i * 12, 255 - i * 12, i)])
    save(palette, "palette.png", transparency=bytes([255, 255, 255, 0, 128] + [255] * (WIDTH - 5)))
    save(palette, "palette.bmp")
    save(palette, "palette.gif")
    save(palette, "palette-clear.gif", transparency=3)


def interlaced(rgba):
    """A PNG of the seven passes of Adam7, which Pillow reads but does not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    lines = [b"\0" + row.tobytes() for x, y, dx, dy in passes for row in rgba[y::dy, x::dx] if row.size]
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 6, 0, 0, 1))
    data += chunk(b"IDAT", zlib.compress(b"".join(lines))) + chunk(b"IEND", b"")
    assert (np.asarray(Image.open(io.BytesIO(data))) == rgba).all()
    return data


def animations():
    flat = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ((10, 200, 30), (250, 0, 0), (0, 0, 250))]
    flat[0].save(OUT / "animated.gif", save_all=True, append_images=flat[1:], duration=50)
    flat[0].save(OUT / "animated.webp", save_all=True, append_images=flat[1:], duration=50, lossless=True)
    flat[0].save(OUT / "animated.png", save_all=True, append_images=flat[1:], duration=50)
    flat[0].save(OUT / "pages.tif", save_all=True, append_images=flat[1:])


def lossy():
    expected = {}

    def keep(name, mode):
        with Image.open(OUT / name) as image:
            pixels = np.asarray(image.convert(mode))
        expected[name] = pixels.reshape(-1).tolist()

    for name, array, options in [
        ("rgb-444.jpg", smooth(3), dict(quality=95, subsampling=0)),
        ("rgb-420.jpg", smooth(3), dict(quality=95, subsampling=2)),
        ("rgb-progressive.jpg", smooth(3), dict(quality=95, subsampling=0, progressive=True)),
        ("rgb-restarts.jpg", smooth(3), dict(quality=95, subsampling=0, restart_marker_blocks=1)),
        ("gray.jpg", smooth(1)[..., 0], dict(quality=95)),
    ]:
        save(Image.fromarray(array), name, **options)
        keep(name, "RGB")
    save(Image.fromarray(smooth(4), "RGBA"), "rgba-lossy.webp", quality=95, exact=True)
    keep("rgba-lossy.webp", "RGBA")

    # Pillow stores inks inverted with an Adobe marker of transform 0, as Photoshop does.
    save(Image.fromarray(smooth(4), "CMYK"), "cmyk.jpg", quality=95)
    keep("cmyk.jpg", "RGB")
    # The same data declared as YCCK (transform 2).
    data = (OUT / "cmyk.jpg").read_bytes()
    at = data.index(b"Adobe")
    assert data[at + 11] == 0
    (OUT / "ycck.jpg").write_bytes(data[: at + 11] + b"\x02" + data[at + 12 :])
    keep("ycck.jpg", "RGB")
    return expected


def zooms():
    """scipy.ndimage.zoom(order=1) at sizes where its last line is not lost to rounding (it is 0 then)."""
    cases = []
    rng = np.random.default_rng(3)
    for (h, w), (to_h, to_w) in [((4, 5), (7, 9)), ((9, 7), (4, 3)), ((3, 3), (1, 8)), ((2, 6), (5, 6)), ((5, 4), (1, 1))]:
        for channels in (1, 3):
            pixels = (rng.random((h, w, channels)) * 300 - 50).astype(np.float32)
            zoomed = ndimage.zoom(pixels, (to_h / h, to_w / w, 1), order=1)
            assert zoomed.shape == (to_h, to_w, channels)
            cases.append(dict(from_size=[h, w], to_size=[to_h, to_w], channels=channels,
                              pixels=pixels.reshape(-1).tolist(), zoomed=zoomed.reshape(-1).tolist()))
    return cases


def resizes():
    """Pillow in mode F: the same kernels and the same antialiasing."""
    kernels = dict(lanczos3=Image.Resampling.LANCZOS, catmull_rom=Image.Resampling.BICUBIC,
                   bilinear=Image.Resampling.BILINEAR)
    cases = []
    rng = np.random.default_rng(4)
    for (h, w), (to_h, to_w) in [((9, 11), (4, 5)), ((4, 5), (9, 13)), ((8, 8), (3, 12)), ((6, 1), (2, 3))]:
        pixels = (rng.random((h, w)) * 300 - 150).astype(np.float32)
        for name, kernel in kernels.items():
            resized = np.asarray(Image.fromarray(pixels).resize((to_w, to_h), kernel))
            cases.append(dict(filter=name, from_size=[h, w], to_size=[to_h, to_w],
                              pixels=pixels.reshape(-1).tolist(), resized=resized.reshape(-1).tolist()))
    return cases


def linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def oklab():
    """Ottosson 2020, https://bottosson.github.io/posts/oklab/, in f64."""
    lms = np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                    [0.2119034982, 0.6806995451, 0.1073969566],
                    [0.0883024619, 0.2817188376, 0.6299787005]])
    lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                    [1.9779984951, -2.4285922050, 0.4505937099],
                    [0.0259040371, 0.7827717662, -0.8086757660]])
    colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [100, 150, 200]]
    return [dict(rgb=rgb, lab=(lab @ np.cbrt(lms @ linear(np.array(rgb) / 255))).tolist()) for rgb in colours]


def display_p3():
    """Display P3 to sRGB: matrices from the primaries (SMPTE EG 432-1, D65; IEC 61966-2-1), one transfer curve."""
    def to_xyz(primaries):
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        return columns * np.linalg.solve(columns, white)

    p3 = to_xyz([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)])
    srgb = to_xyz([(0.640, 0.330), (0.300, 0.600), (0.150, 0.060)])
    matrix = np.linalg.solve(srgb, p3)
    colours = [[0, 0, 0], [255, 255, 255], [128, 128, 128], [200, 100, 50], [60, 180, 90], [0, 255, 0]]
    return [dict(p3=rgb, srgb=(255 * encoded(matrix @ linear(np.array(rgb) / 255))).tolist()) for rgb in colours]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    lossless()
    animations()
    expected = dict(lossy=lossy(), zooms=zooms(), resizes=resizes(), oklab=oklab(), display_p3=display_p3())
    text = json.dumps(expected, separators=(",", ":")).replace('},{', '},\n{').replace('],"', '],\n"')
    (OUT / "expected.json").write_text(text + "\n")


main()
