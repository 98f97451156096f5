"""Prints microseconds and bytes of PNG by several encoders, and of each format of the service.

``python -m benchmarks.encoders [--rounds N]``: medians of processor time, encoders in random order.
Beside ours and Pillow's stand our own writer with other deflaters, and whatever of opencv, fpng,
deflate (libdeflate) and zlib-ng is installed where this runs.
"""

import argparse
import io
import random
import statistics
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits, load_sample_images

from benchmarks.lab.report import machine
from ganmodels.rendering import image, tiled
from ganmodels.spaces import ImageSpace
from service.engine.encoding import png
from service.engine.encoding.formats import ENCODER_VERSION, FORMATS
from service.engine.encoding.metadata import as_text
from service.engine.encoding.samples import Look, Samples

Pixels = NDArray[np.uint8]
Encoder = Callable[[Pixels], bytes]
PARAMETERS = {
    "model": "faces:3", "checkpoint": "0" * 64, "seed": 7, "offset": 0, "n": 64, "labels": None,
    "truncation": 1.0,
}  # fmt: skip
_DRAWN = Path(__file__).parents[1] / "docs/images/recipes/r3gan-small.png"
_GRID = 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="medians of so many (30)")
    rounds = parser.parse_args().rounds
    console = Console(width=200)
    console.print(f"encoder {ENCODER_VERSION}, zlib {zlib.ZLIB_RUNTIME_VERSION}, {machine()}")
    shown = pictures()
    cells = {name: _measured(png_encoders(), images, rounds) for name, images in shown.items()}
    _show(console, "PNG: microseconds / bytes of one picture", cells)
    photos = _photographs(64)
    counts = {f"{n} of 64x64x3": _measured(_formats(), [photos[:n]], rounds) for n in (1, _GRID)}
    _show(console, "formats: microseconds / bytes of an answer", counts)


def pictures() -> dict[str, list[Pixels]]:
    """What is encoded: images that a generator drew, digits, photographs, and grids of them."""
    drawn = np.asarray(Image.open(_DRAWN)).astype(np.uint8)
    tiles = [
        drawn[y : y + 16, x : x + 16, None] for y in range(0, 142, 18) for x in range(0, 142, 18)
    ]
    digits = [_scaled((d * 15.9).astype(np.uint8), 32) for d in load_digits().images[:_GRID]]
    photos, small = _photographs(64), _photographs(32)
    noise = np.random.default_rng(0).normal(0, 12, photos.shape)
    noisy = np.clip(photos + noise, 0, 255).astype(np.uint8)
    return {
        "drawn 16x16x1": tiles[:8],
        "digits 32x32x1": digits[:8],
        "photos 32x32x3": list(small[:8]),
        "photos 64x64x3": list(photos[:8]),
        "noisy 64x64x3": list(noisy[:8]),
        "8x8 of 32x32x1": [tiled(np.stack(digits), 8)],
        "8x8 of 64x64x3": [tiled(photos, 8)],
        "8x8 of noisy": [tiled(noisy, 8)],
    }


def png_encoders() -> dict[str, Encoder]:
    """Encoders of PNG by name; those of ours and Pillow's carry the parameters."""
    text = as_text(PARAMETERS)

    def by(deflate: Callable[[Any], bytes]) -> Encoder:
        def encode(pixels: Pixels) -> bytes:
            own, png._deflate = png._deflate, lambda lines, _: deflate(lines)
            try:
                return png.encode_png(pixels, "ringside", text)
            finally:
                png._deflate = own

        return encode

    return {
        "ringside": lambda pixels: png.encode_png(pixels, "ringside", text),
        "ringside, alone": lambda pixels: png.encode_png(pixels, "ringside", text, is_alone=True),
        "ours, zlib huffman": by(lambda lines: _deflated(zlib, lines)),
        "ours, isal": by(lambda lines: isal_zlib.compress(lines, 1)),
        "ours, stored": by(lambda lines: zlib.compress(lines, 0)),
        **_installed(by),
        "pillow": lambda pixels: _pillow(pixels, text),
        "pillow level 1": lambda pixels: _pillow(pixels, text, compress_level=1),
        "pillow huffman": lambda pixels: _pillow(pixels, text, compress_level=1, compress_type=2),
    }


def _installed(by: Callable[[Callable[[Any], bytes]], Encoder]) -> dict[str, Encoder]:
    """Encoders of libraries that the service does not need."""
    found: dict[str, Encoder] = {}
    if find_spec("deflate"):
        import deflate

        found["ours, libdeflate"] = by(lambda lines: bytes(deflate.zlib_compress(lines, 1)))
    if find_spec("zlib_ng"):
        from zlib_ng import zlib_ng

        found["ours, zlib-ng huffman"] = by(lambda lines: _deflated(zlib_ng, lines))
    if find_spec("fpng"):
        import fpng

        # RGB and RGBA alone.
        found["fpng"] = lambda p: fpng.from_ndarray(p) if p.shape[2] > 2 else b""
    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        found["opencv"] = lambda pixels: cv2.imencode(".png", pixels)[1].tobytes()
    return found


def _deflated(library: Any, lines: Any) -> bytes:
    stream = library.compressobj(1, zlib.DEFLATED, 15, 8, zlib.Z_HUFFMAN_ONLY)
    return bytes(stream.compress(lines) + stream.flush())


def _pillow(pixels: Pixels, text: str, **options: int) -> bytes:
    buffer, metadata = io.BytesIO(), PngInfo()
    metadata.add_itxt("ringside", text)
    image(pixels).save(buffer, "PNG", pnginfo=metadata, **options)
    return buffer.getvalue()


def _formats() -> dict[str, Encoder]:
    """Formats by name, of images [n, height, width, channels]."""
    looks = {name: Look(8) for name, encoding in FORMATS.items() if not encoding.points_only}
    asked = {
        **{name: (name, look) for name, look in looks.items()},
        "webp 90": ("webp", Look(8, quality=90)),
    }

    def by(name: str, look: Look) -> Encoder:
        def encode(images: Pixels) -> bytes:
            space = ImageSpace(height=64, width=64, channels=3)
            made = Samples(images, (None,) * len(images), space, PARAMETERS)
            return FORMATS[name].encode(made, look)

        return encode

    return {title: by(*given) for title, given in asked.items()}


def _measured(
    encoders: Mapping[str, Encoder], images: Iterable[Pixels], rounds: int
) -> dict[str, tuple[float, float]]:
    """Median seconds and mean bytes of a picture by each encoder."""
    given, seconds = list(images), {name: list[float]() for name in encoders}
    size = {n: statistics.mean(len(f(one)) for one in given) for n, f in encoders.items()}
    # In another order each time: who comes after a large one finds its caches cold.
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(encoders), len(encoders)):
            began = time.thread_time()
            for one in given:
                encoders[name](one)
            seconds[name].append((time.thread_time() - began) / len(given))
    return {name: (statistics.median(seconds[name]), size[name]) for name in encoders}


def _show(
    console: Console, title: str, cells: Mapping[str, Mapping[str, tuple[float, float]]]
) -> None:
    table = Table("", *cells, title=title)
    for name in next(iter(cells.values())):
        found = [column[name] for column in cells.values()]
        table.add_row(name, *(f"{s * 1e6:.0f} / {b:.0f}" if b else "-" for s, b in found))
    console.print(table)


def _photographs(edge: int) -> Pixels:
    """Pieces of scikit-learn's two photographs, uint8 [64, edge, edge, 3]."""
    found = []
    for whole in load_sample_images().images:
        half = Image.fromarray(whole).resize((320, 213), Image.Resampling.LANCZOS)
        pixels, step = np.asarray(half), edge // 2
        places = [(y, x) for y in range(0, 213 - edge, step) for x in range(0, 320 - edge, step)]
        found += [pixels[y : y + edge, x : x + edge] for y, x in places]
    return np.stack(found[:: len(found) // _GRID][:_GRID])


def _scaled(pixels: Pixels, edge: int) -> Pixels:
    larger = Image.fromarray(pixels).resize((edge, edge), Image.Resampling.BICUBIC)
    return np.asarray(larger)[:, :, np.newaxis]


if __name__ == "__main__":
    main()
