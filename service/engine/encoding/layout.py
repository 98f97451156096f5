"""From samples to pixels: items resized, and all of them in one picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganmodels.rendering import grid_size, image, scatter, tiled
from ganmodels.spaces import ImageSpace, Space
from service.engine.encoding.samples import Look, Samples

Pixels = NDArray[np.generic]
# The slowest formats take a tenth of a second for so many.
_LARGE_PIXELS = 2**18


def picture(samples: Samples, look: Look) -> Pixels:
    """All samples in one picture, uint8 [height, width, channels]: a grid, or a plot of points."""
    if isinstance(samples.space, ImageSpace):
        return tiled(resized(samples.items, look), look.columns, look.padding)
    return fitted(np.asarray(scatter(samples.items)), look)


def resized(items: NDArray[np.generic], look: Look) -> NDArray[np.generic]:
    """Images uint8 [n, height, width, channels] in the size that was asked for."""
    return items if look.size is None else np.stack([fitted(item, look) for item in items])


def fitted(item: Pixels, look: Look) -> Pixels:
    """One image, uint8 [height, width, channels], in the size that was asked for."""
    if look.size is None:
        return item
    height, width, channels = item.shape
    smaller = image(item).resize(
        edges(width, height, look.size), Image.Resampling[look.resample.upper()]
    )
    return np.asarray(smaller).reshape(smaller.height, smaller.width, channels)


def picture_size(space: ImageSpace, count: int, look: Look) -> tuple[int, int]:
    """Width and height in pixels of the picture of so many images."""
    width, height = edges(space.width, space.height, look.size)
    return grid_size(width, height, count, look.columns, look.padding)


def edges(width: int, height: int, size: int | None) -> tuple[int, int]:
    """Width and height in pixels with ``size`` as the longer edge, in the same ratio."""
    if size is None:
        return width, height
    longer = max(width, height)
    return max(1, round(width * size / longer)), max(1, round(height * size / longer))


def is_large(space: Space, count: int, look: Look) -> bool:
    """Whether so many items may take longer to encode than others should wait."""
    if not isinstance(space, ImageSpace):
        return look.size is not None and look.size**2 > _LARGE_PIXELS
    width, height = edges(space.width, space.height, look.size)
    return count * width * height > _LARGE_PIXELS
