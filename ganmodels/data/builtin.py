"""Datasets that come with Ringside: real handwritten digits, and two known densities.

Source of the densities: the 8-Gaussian ring and 25-Gaussian grid of arXiv:1611.02163 and
arXiv:1712.04086, which count the modes that a generator finds.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganmodels.data.limits import DEFAULT_LIMITS
from ganmodels.data.stream import Chunk, ImageFacts, ItemStream, PointFacts

_DIGIT_SIDE = 16
_POINT_COUNT = 100_000


def digits() -> ItemStream:
    """1,797 grey handwritten digits of scikit-learn, 8x8 enlarged to 16x16, 10 classes.

    Values 0..16 become 0..255. Twice the size gives convolutional networks room.
    """
    # Only this dataset needs scikit-learn, which takes a second to import.
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    small = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = np.stack([_enlarge(image) for image in small])[..., None]
    chunk = Chunk(images, labels.astype(np.int64), "uint8", original_size=(8, 8))
    return ItemStream(
        facts=ImageFacts({(_DIGIT_SIDE, _DIGIT_SIDE): len(images)}, channels=1),
        count=len(images),
        classes=tuple(str(digit) for digit in range(10)),
        chunks=lambda: iter([chunk]),
        limits=DEFAULT_LIMITS,
        note="Originals of 8x8 were enlarged to 16x16 (bilinear).",
    )


def ring() -> ItemStream:
    """100,000 points of 8 Gaussians, sigma 0.01, evenly on the unit circle from angle 0."""
    angles = 2 * np.pi * np.arange(8) / 8
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _mixture(centres, sigma=0.01)


def grid() -> ItemStream:
    """100,000 points of 25 Gaussians, sigma 0.05, at all pairs of -4, -2, 0, 2, 4."""
    ticks = np.array([-4.0, -2.0, 0.0, 2.0, 4.0])
    centres = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    return _mixture(centres, sigma=0.05)


BUILTIN: Mapping[str, Callable[[], ItemStream]] = MappingProxyType(
    {"digits": digits, "ring": ring, "grid": grid}
)


def _enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (_DIGIT_SIDE, _DIGIT_SIDE)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _mixture(centres: NDArray[np.float64], sigma: float) -> ItemStream:
    """Equal parts of each Gaussian, in random order, always the same."""

    def chunks() -> Iterator[Chunk]:
        # RandomState is frozen by NumPy's policy: the same points in every version.
        random = np.random.RandomState(20140610)
        modes = random.permutation(np.arange(_POINT_COUNT) % len(centres))
        points = centres[modes] + sigma * random.standard_normal((_POINT_COUNT, 2))
        yield Chunk(points.astype(np.float32), None, "float32")

    return ItemStream(PointFacts(2), _POINT_COUNT, (), chunks, DEFAULT_LIMITS)
