"""Pictures of items: one image, a grid of images, or a scatter plot of points."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ganmodels.spaces import ImageSpace, Space

Items = NDArray[np.generic]

PLOT_PIXELS = 512
_MARGIN = 24
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def picture(items: Items, space: Space, columns: int, padding: int = 2) -> Image.Image:
    """All items in one picture: a grid of images, or one scatter plot of all points."""
    if isinstance(space, ImageSpace):
        return image(tiled(items, columns, padding))
    return scatter(items)


def image(item: Items) -> Image.Image:
    """One image, uint8 [height, width, channels]."""
    channels = item.shape[2]
    values = item[:, :, 0] if channels == 1 else item
    return Image.fromarray(np.ascontiguousarray(values), _MODES[channels])


def as_png(shown: Image.Image) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()


def tiled(images: Items, columns: int, padding: int = 2) -> Items:
    """Images uint8 [n, height, width, channels] in one, row by row, ``padding`` pixels apart.

    What lies between them is black, and transparent where there is alpha.
    """
    count, height, width, channels = images.shape
    if count == 1:
        only: Items = images[0]
        return only
    columns = min(columns, count)
    whole_width, whole_height = grid_size(width, height, count, columns, padding)
    canvas = np.zeros((whole_height, whole_width, channels), dtype=images.dtype)
    for index, tile in enumerate(images):
        row, column = divmod(index, columns)
        top, left = row * (height + padding), column * (width + padding)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def grid_size(
    width: int, height: int, count: int, columns: int, padding: int = 2
) -> tuple[int, int]:
    """Width and height in pixels of the grid of so many images of one size."""
    columns = min(columns, count)
    rows = -(-count // columns)
    return columns * (width + padding) - padding, rows * (height + padding) - padding


def scatter(points: Items) -> Image.Image:
    """The first two coordinates of points [n, d], to one scale, axes through the origin."""
    flat = np.zeros((len(points), 2))
    flat[:, : points.shape[1]] = points[:, :2]
    reach = max(float(np.abs(flat).max(initial=0.0)) * 1.05, 1e-12)
    places = PLOT_PIXELS / 2 + flat * [1, -1] * (PLOT_PIXELS / 2 - _MARGIN) / reach
    canvas = Image.new("RGB", (PLOT_PIXELS, PLOT_PIXELS), "white")
    draw = ImageDraw.Draw(canvas)
    middle = PLOT_PIXELS // 2
    draw.line([(0, middle), (PLOT_PIXELS, middle)], fill=(220, 220, 220))
    draw.line([(middle, 0), (middle, PLOT_PIXELS)], fill=(220, 220, 220))
    for x, y in places:
        draw.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=(31, 78, 160))
    return canvas
