"""The transformations of ADA, each applied to an image with a probability.

Magnitudes are those of Karras et al. 2020 (arXiv:2006.06676), appendix B. A geometric matrix
takes places of the new image to places of the old one; see ``warp``.
"""

import math

import torch
from torch import Tensor

from ganmodels.augmentation.fixed import color_channels
from ganmodels.draws import even, normal, whole
from ganmodels.types import Items


class Chance:
    """The draws for one batch: matrices, and with which probability they are applied."""

    def __init__(self, items: Items, strength: Tensor, random: torch.Generator) -> None:
        self.count, self.strength, self.random = len(items), strength, random
        self.device = items.device
        self.dtype = torch.promote_types(items.dtype, torch.float32)

    def even(self, low: float, high: float) -> Tensor:
        """One number for each image, U(low, high)."""
        drawn = even((self.count,), self.random, self.device)
        return drawn.to(self.dtype) * (high - low) + low

    def whole(self, count: int) -> Tensor:
        """One whole number below ``count`` for each image."""
        return whole(count, (self.count,), self.random, self.device)

    def normal(self, deviation: float) -> Tensor:
        """One number for each image, N(0, deviation^2)."""
        drawn = normal((self.count,), self.random, self.device)
        return drawn.to(self.dtype) * deviation

    def nothing(self, size: int) -> Tensor:
        """The identity for each image, [batch, size, size]."""
        return torch.eye(size, dtype=self.dtype, device=self.device).expand(self.count, -1, -1)

    def maybe(self, matrix: Tensor, probability: Tensor | None = None) -> Tensor:
        """The matrix of an image with the probability, else the identity."""
        likely = self.strength if probability is None else probability
        applied = even((self.count,), self.random, self.device) < likely
        return torch.where(applied[:, None, None], matrix, self.nothing(matrix.shape[-1]))

    def matrix(self, *rows: tuple[Tensor | float, ...]) -> Tensor:
        """Matrices [batch, ...] of numbers that are one for all images or one for each."""
        zeros = torch.zeros(self.count, dtype=self.dtype, device=self.device)
        return torch.stack([torch.stack([zeros + one for one in row], -1) for row in rows], -2)


def blit(chance: Chance, height: int, width: int) -> Tensor:
    """Mirroring, quarter turns and whole-pixel moves: pixels stay pixels."""
    side = 1 - 2 * chance.whole(2)
    mirrored = chance.maybe(_scaling(chance, side, 1))
    quarters = chance.whole(4)
    if height != width:
        quarters = 2 * (quarters // 2)
    cosine = (quarters == 0).to(chance.dtype) - (quarters == 2).to(chance.dtype)
    sine = (quarters == 1).to(chance.dtype) - (quarters == 3).to(chance.dtype)
    turned = chance.maybe(_turning(chance, cosine, sine))
    across = (chance.even(-0.125, 0.125) * width).round()
    down = (chance.even(-0.125, 0.125) * height).round()
    return mirrored @ turned @ chance.maybe(_moving(chance, across, down))


def geometry(chance: Chance, height: int, width: int) -> Tensor:
    """Scaling, turning, stretching along any direction, and moves by parts of a pixel."""
    size = torch.exp2(chance.normal(0.2))
    scaled = chance.maybe(_scaling(chance, size, size))
    # Of two chances to turn, so that one of them does with the probability of the others.
    once = 1 - (1 - chance.strength).sqrt()
    before = chance.maybe(_any_turn(chance), once)
    stretch = torch.exp2(chance.normal(0.2))
    stretched = chance.maybe(_scaling(chance, stretch, 1 / stretch))
    after = chance.maybe(_any_turn(chance), once)
    across, down = chance.normal(0.125) * width, chance.normal(0.125) * height
    moved = chance.maybe(_moving(chance, across, down))
    return scaled @ before @ stretched @ after @ moved


def _any_turn(chance: Chance) -> Tensor:
    angle = chance.even(-math.pi, math.pi)
    return _turning(chance, angle.cos(), angle.sin())


def _turning(chance: Chance, cosine: Tensor, sine: Tensor) -> Tensor:
    return chance.matrix((cosine, -sine, 0), (sine, cosine, 0), (0, 0, 1))


def _scaling(chance: Chance, across: Tensor, down: Tensor | float) -> Tensor:
    return chance.matrix((across, 0, 0), (0, down, 0), (0, 0, 1))


def _moving(chance: Chance, across: Tensor, down: Tensor) -> Tensor:
    return chance.matrix((1, 0, across), (0, 1, down), (0, 0, 1))


def recolored(items: Items, chance: Chance) -> Items:
    """Colours of each image through one affine map, alpha as it is."""
    count = color_channels(items.shape[1])
    change = _color(chance, count).to(items.dtype)
    color = items[:, :count]
    mixed = torch.einsum("bij,bjhw->bihw", change[:, :count, :count], color)
    mixed = mixed + change[:, :count, count, None, None]
    return torch.cat([mixed, items[:, count:]], dim=1)


def _color(chance: Chance, count: int) -> Tensor:
    """Brightness first, then contrast, luma, hue and saturation: [batch, count + 1, count + 1]."""
    brighter = chance.nothing(count + 1).clone()
    brighter[:, :count, count] = chance.normal(0.2)[:, None]
    change = chance.maybe(brighter)
    luma = _projection(chance, count)
    whole = chance.nothing(count)
    contrast = torch.exp2(chance.normal(0.5))[:, None, None] * whole
    change = chance.maybe(_extended(contrast)) @ change
    flip = chance.whole(2).to(chance.dtype)[:, None, None]
    change = chance.maybe(_extended(whole - 2 * flip * luma)) @ change
    if count == 1:
        return change
    angle = chance.even(-math.pi, math.pi)[:, None, None]
    turned = luma + angle.cos() * (whole - luma) + angle.sin() * _crossing(chance)
    change = chance.maybe(_extended(turned)) @ change
    saturation = torch.exp2(chance.normal(1.0))[:, None, None]
    return chance.maybe(_extended(luma + saturation * (whole - luma))) @ change


def _projection(chance: Chance, count: int) -> Tensor:
    """Onto the axis of greys: [count, count]."""
    return torch.full((count, count), 1 / count, dtype=chance.dtype, device=chance.device)


def _crossing(chance: Chance) -> Tensor:
    """The cross product with the unit vector of greys: [3, 3]."""
    rows = [[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]
    return torch.tensor(rows, dtype=chance.dtype, device=chance.device) / math.sqrt(3)


def _extended(linear: Tensor) -> Tensor:
    """[batch, n, n] with one more row and column, of the identity."""
    extended = torch.nn.functional.pad(linear, (0, 1, 0, 1))
    extended[:, -1, -1] = 1
    return extended
