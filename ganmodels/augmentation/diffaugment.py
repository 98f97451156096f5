"""DiffAugment: colour, translation and cutout at full strength all the time.

Source: Zhao et al. 2020 (arXiv:2006.10738), section 4 and appendix.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ganmodels.augmentation.fixed import Fixed, color_channels, moved
from ganmodels.draws import even, whole
from ganmodels.types import Items

_FURTHEST = 0.125
_CUT = 0.5


class DiffAugment(Fixed):
    """``color``: brightness +-0.5, saturation 0 to 2, contrast 0.5 to 1.5. ``translation``: up to
    1/8 of the size. ``cutout``: a rectangle of half the size.

    What translation uncovers and cutout removes is 0, the middle grey. Cutouts can leak into the
    samples of a generator that sees few images. Colour leaves alpha as it is.
    """

    kind: Literal["diffaugment"] = "diffaugment"
    policy: tuple[Literal["color", "translation", "cutout"], ...] = Field(
        default=("color", "translation"), min_length=1, max_length=3
    )

    @property
    def recolors(self) -> bool:
        """Whether hue or saturation change, where an image has them."""
        return "color" in self.policy

    def __call__(
        self, items: Items, random: torch.Generator, strength: Tensor | None = None
    ) -> Items:
        """[batch, channels, height, width] to the same shape."""
        if "color" in self.policy:
            items = _recolored(items, random)
        if "translation" in self.policy:
            rows, columns = (int(size * _FURTHEST + 0.5) for size in items.shape[2:])
            items = moved(items, (rows, columns), random, "zero")
        if "cutout" in self.policy:
            items = items * _kept(items, random)
        return items


def _recolored(items: Items, random: torch.Generator) -> Items:
    """Brightness, saturation and contrast, one draw of each per image."""
    count = color_channels(items.shape[1])
    draws = even((3, len(items), 1, 1, 1), random, items.device, items=1)
    brightness, saturation, contrast = draws.to(items.dtype)
    color = items[:, :count] + brightness - 0.5
    grey = color.mean(1, keepdim=True)
    color = torch.lerp(grey, color, 2 * saturation)
    mean = color.mean((1, 2, 3), keepdim=True)
    color = torch.lerp(mean, color, contrast + 0.5)
    return torch.cat([color, items[:, count:]], dim=1)


def _kept(items: Items, random: torch.Generator) -> Tensor:
    """1 outside of one rectangle per image and 0 within, [batch, 1, height, width]."""
    within = []
    for size in items.shape[2:]:
        cut = int(size * _CUT + 0.5)
        # Of an even rectangle there is one more place, as its middle lies between pixels.
        centre = whole(size + 1 - cut % 2, (len(items), 1), random, items.device)
        start = centre - cut // 2
        place = torch.arange(size, device=items.device)
        within.append((place >= start) & (place < start + cut))
    rows, columns = within
    return (~(rows[:, :, None] & columns[:, None, :])[:, None]).to(items.dtype)
