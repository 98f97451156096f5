"""Multi-scale structural similarity between samples: a collapsed generator repeats itself."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from ganmodels.referee.measures.estimate import Estimate, mean
from ganmodels.types import Items

# Of Wang et al. 2003 for five scales; the first carry the finest detail.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = 11
_DEVIATION = 1.5
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2
_BATCH = 100


class Scales(NamedTuple):
    """Exponents of the scales, finest first, summing to 1; the window and its deviation."""

    weights: tuple[float, ...]
    window: int
    deviation: float

    @classmethod
    def of(cls, shorter_edge: int) -> "Scales":
        """As many of five halvings as leave a window of 11 pixels, which is one below 22 pixels.

        The weights of those are scaled to sum to 1. For an edge below 11 the window is the
        largest odd number that fits, its deviation 1.5 / 11 of it.
        """
        window = min(_WINDOW, shorter_edge - 1 + shorter_edge % 2)
        count = max(1, min(len(_WEIGHTS), (shorter_edge // window).bit_length()))
        total = sum(_WEIGHTS[:count])
        weights = tuple(weight / total for weight in _WEIGHTS[:count])
        return cls(weights, window, _DEVIATION * window / _WINDOW)


def ms_ssim(images: Items) -> Estimate:
    """Mean similarity of pairs (0 and 1, 2 and 3, ...) of images [n, c, h, w] in [0, 1].

    1: all equal; natural sets are well below. Pairs share no image, so the error is that of a
    mean. Source: Odena et al. 2017 (arXiv:1610.09585, section 4.2), who compare within one
    class; here pairs are random. At least 4 images.
    """
    pairs = len(images) // 2
    first, second = images[: 2 * pairs : 2], images[1 : 2 * pairs : 2]
    batches = zip(first.split(_BATCH), second.split(_BATCH), strict=True)
    return mean(torch.cat([pairwise_ms_ssim(one, other) for one, other in batches]))


def pairwise_ms_ssim(first: Items, second: Items) -> Tensor:
    """The similarity [n] of each image [n, c, h, w] in [0, 1] with its partner.

    Product over scales of the mean contrast-structure term, at the coarsest with luminance, to
    the power of the scale's weight; negative means count as 0. Statistics are taken under a
    Gaussian window without padding, scales are halved by averaging. Source: Wang et al. 2003,
    Multi-scale structural similarity for image quality assessment, equation 7.
    """
    scales = Scales.of(min(first.shape[2:]))
    window = _gaussian(scales)
    product = torch.ones(len(first))
    for number, weight in enumerate(scales.weights):
        is_coarsest = number == len(scales.weights) - 1
        product *= _similarity(first, second, window, is_coarsest).relu() ** weight
        first, second = avg_pool2d(first, 2), avg_pool2d(second, 2)
    return product


def _similarity(first: Items, second: Items, window: Tensor, with_luminance: bool) -> Tensor:
    """Mean [n] over channels and places of contrast-structure, with luminance if asked."""
    channels = first.shape[1]
    maps = torch.cat([first, second, first**2, second**2, first * second], dim=1)
    one, other, square, other_square, product = _smooth(maps, window).split(channels, dim=1)
    variances = (square - one**2).relu() + (other_square - other**2).relu()
    found: Tensor = (2 * (product - one * other) + _CONTRAST) / (variances + _CONTRAST)
    if with_luminance:
        found = found * (2 * one * other + _LUMINANCE) / (one**2 + other**2 + _LUMINANCE)
    averaged: Tensor = found.mean((1, 2, 3))
    return averaged


def _smooth(maps: Tensor, window: Tensor) -> Tensor:
    """Each map [n, c, h, w] under the window, along rows and then columns, without padding."""
    flat = maps.reshape(-1, 1, *maps.shape[2:])
    smooth = conv2d(conv2d(flat, window[None, None, None]), window[None, None, :, None])
    return smooth.reshape(*maps.shape[:2], *smooth.shape[2:])


def _gaussian(scales: Scales) -> Tensor:
    places = torch.arange(scales.window) - (scales.window - 1) / 2
    heights = torch.exp(-0.5 * (places / scales.deviation) ** 2)
    window: Tensor = heights / heights.sum()
    return window
