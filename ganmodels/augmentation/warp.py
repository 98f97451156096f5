"""Affine warps of images by gathering, which can be differentiated twice.

A warp is a matrix [batch, 3, 3] from the places of the new image to those of the old, in pixels
from the centre, columns before rows. ``torch.nn.functional.grid_sample`` has no second derivative.
"""

import torch
from torch import Tensor

from ganmodels.types import Items


def warped(items: Items, warp: Tensor) -> Items:
    """Images [batch, channels, height, width] seen through a warp, interpolated linearly.

    What lies outside of the image is its reflection. A warp that takes pixels to pixels copies
    them exactly. Nothing is smoothed before it shrinks.
    """
    height, width = items.shape[2:]
    across = torch.arange(width, device=items.device) - (width - 1) / 2
    down = torch.arange(height, device=items.device) - (height - 1) / 2
    grid = torch.meshgrid(down, across, indexing="ij")
    places = torch.stack([grid[1], grid[0], torch.ones_like(grid[0])]).flatten(1).to(warp.dtype)
    columns, rows, _ = (warp @ places).unbind(1)
    return _values_at(items, columns + (width - 1) / 2, rows + (height - 1) / 2)


def _values_at(items: Items, columns: Tensor, rows: Tensor) -> Items:
    """Values at places [batch, height * width] counted in pixels from the first."""
    channels, height, width = items.shape[1:]
    left, right, rightness = _neighbours(columns, width)
    top, bottom, lowness = _neighbours(rows, height)
    # Channels last, as the networks like it.
    pixels = items.permute(0, 2, 3, 1).flatten(1, 2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        # Unlike indexing, gathering adds gradients up in the same order in every run on a CPU.
        place = (row * width + column)[:, :, None].expand(-1, -1, channels)
        return pixels.gather(1, place)

    rightness, lowness = rightness.to(items.dtype), lowness.to(items.dtype)
    upper = torch.lerp(at(top, left), at(top, right), rightness)
    lower = torch.lerp(at(bottom, left), at(bottom, right), rightness)
    between = torch.lerp(upper, lower, lowness)
    return between.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _neighbours(places: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after each place, and how near it is to the one after."""
    last = size - 1
    # Reflected at the middle of the first and last pixels, as often as it takes.
    inside = last - (places.remainder(max(1, 2 * last)) - last).abs() if last else places * 0
    before = inside.floor().clamp(0, last)
    after = (before + 1).clamp(max=last)
    return before.long(), after.long(), (inside - before)[:, :, None]
