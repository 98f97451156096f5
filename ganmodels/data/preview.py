"""A picture of a dataset: an 8x8 grid of images, or a scatter plot of points."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ganmodels.data.images import fit_image
from ganmodels.data.spread import Indices, evenly, evenly_by_class

ReadRows = Callable[[Indices], NDArray[Any]]

_CELLS_A_SIDE = 8
_SMALLEST_CELL = 32
_LARGEST_CELL = 128
_PLOT_PIXELS = 256
_PLOT_MARGIN = 12
_PLOTTED_POINTS = 5000


def draw_preview(read_rows: ReadRows, count: int, labels: Indices | None) -> Image.Image:
    """Images as a grid, row by row through the classes; points as their first two coordinates.

    ``read_rows`` gives the packed items at ascending or repeated indices.
    """
    sample = read_rows(np.zeros(1, dtype=np.int64))
    if sample.ndim == 4:
        return _draw_grid(read_rows(evenly_by_class(count, labels, _CELLS_A_SIDE**2)))
    return _draw_scatter(read_rows(evenly(np.arange(count), _PLOTTED_POINTS)))


def _draw_grid(images: NDArray[Any]) -> Image.Image:
    height, width = _cell_size(images.shape[1], images.shape[2])
    grid = Image.new("RGB", (_CELLS_A_SIDE * width, _CELLS_A_SIDE * height), "white")
    for cell, image in enumerate(images):
        picture = Image.fromarray(fit_image(image, image.shape[0], image.shape[1], 3))
        enlarging = width >= picture.width
        filter_ = Image.Resampling.NEAREST if enlarging else Image.Resampling.LANCZOS
        row, column = divmod(cell, _CELLS_A_SIDE)
        grid.paste(picture.resize((width, height), filter_), (column * width, row * height))
    return grid


def _cell_size(height: int, width: int) -> tuple[int, int]:
    """Small images enlarged by a whole factor, large ones reduced, shape kept."""
    longer = max(height, width)
    if longer <= _LARGEST_CELL:
        factor = max(1, _SMALLEST_CELL // longer)
        return height * factor, width * factor
    return (
        max(1, height * _LARGEST_CELL // longer),
        max(1, width * _LARGEST_CELL // longer),
    )


def _draw_scatter(points: NDArray[Any]) -> Image.Image:
    across = points[:, 0].astype(np.float64)
    # A single coordinate is plotted against the position in the dataset.
    up = points[:, 1] if points.shape[1] > 1 else np.arange(len(points))
    plot = Image.new("RGB", (_PLOT_PIXELS, _PLOT_PIXELS), "white")
    places = np.stack(
        [_to_pixels(across), _PLOT_PIXELS - 1 - _to_pixels(up.astype(np.float64))], axis=1
    )
    ImageDraw.Draw(plot).point(places.reshape(-1).tolist(), fill=(31, 78, 160))
    return plot


def _to_pixels(values: NDArray[np.float64]) -> NDArray[np.int64]:
    low, high = float(values.min()), float(values.max())
    room = _PLOT_PIXELS - 1 - 2 * _PLOT_MARGIN
    share = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.rint(_PLOT_MARGIN + share * room).astype(np.int64)
