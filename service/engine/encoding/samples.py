"""What an encoder takes: samples, and how they are to look."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganmodels.spaces import Space

# Names of what Pillow resizes by.
Resampling = Literal["nearest", "bilinear", "bicubic", "lanczos"]
MAX_EDGE_PIXELS = 2048


class Samples(NamedTuple):
    """Items [n, ...] as they are stored, with what made them.

    ``parameters`` holds model, seed, offset and the rest; ``latents`` [n, width] are there where
    the items were drawn from any.
    """

    items: NDArray[np.generic]
    labels: tuple[str | None, ...]
    space: Space
    parameters: dict[str, Any]
    latents: NDArray[np.float32] | None = None


class Look(NamedTuple):
    """How samples are shown: the grid, the size of each image and the quality of the format.

    ``size`` is the longer edge of an image in pixels, None for the model's own. ``quality`` is
    that of JPEG (90 where it is None) and of WebP (lossless where it is None), from 1 to 100.
    """

    columns: int = 1
    padding: int = 2
    size: int | None = None
    resample: Resampling = "lanczos"
    quality: int | None = None

    def parameters(self) -> dict[str, Any]:
        """What was asked for that changes the pixels of an item, as it is written into files."""
        sized = {"size": self.size, "resample": self.resample} if self.size else {}
        return sized | ({"quality": self.quality} if self.quality else {})
