"""Printed digits: rendered from the fonts that matplotlib brings along, with exact labels."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.lab.mnist import Images, Labels

# Text faces only: what is left out has old-style digits, symbols, or none of them.
_FAMILIES = (
    "DejaVuSans",
    "DejaVuSerif",
    "DejaVuSansMono",
    "STIXGeneral",
    "cmr10",
    "cmss10",
    "cmtt10",
)
_FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
_EDGE = 28
# As in MNIST: digits fit into 20 x 20 pixels, about the middle.
_HEIGHT, _SCALES, _SHIFT = 20, (0.8, 1.05), 2.0
# Drawn so much larger and averaged, which gives the soft edges of scanned ink.
_FINER = 4


class Rendered(NamedTuple):
    """Images [n, 28, 28] in 0..255 and what they show [n]."""

    images: Images
    labels: Labels


def rendered(count: int, seed: int) -> Rendered:
    """White digits on black, each in a random face, size and place; digits in equal shares."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 10)
    images = np.stack([_digit(int(label), random) for label in labels])
    return Rendered(images, labels.astype(np.int64))


def _digit(label: int, random: np.random.Generator) -> NDArray[np.uint8]:
    face = _FACES[random.integers(len(_FACES))]
    height = _HEIGHT * random.uniform(*_SCALES) * _FINER
    font = _font(face, round(height / 0.73))
    left, top, right, bottom = font.getbbox(str(label))
    across, down = random.uniform(-_SHIFT, _SHIFT, 2) * _FINER
    middle = _EDGE * _FINER / 2
    canvas = Image.new("L", (_EDGE * _FINER, _EDGE * _FINER))
    place = (middle + across - (left + right) / 2, middle + down - (top + bottom) / 2)
    ImageDraw.Draw(canvas).text(place, str(label), fill=255, font=font)
    return np.asarray(canvas.resize((_EDGE, _EDGE), Image.Resampling.BOX))


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf", size
    )
