"""Augmentation inside the discriminator: the same function on reals and fakes, in both steps."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn.functional import pad

from ganmodels.spec import Spec
from ganmodels.types import Items


class NoAugmentation(Spec):
    """Items as they are."""

    kind: Literal["none"] = "none"
    image_only: ClassVar[bool] = False

    def __call__(self, items: Items, random: torch.Generator) -> Items:
        """Return the items."""
        return items


class Shift(Spec):
    """Moves each image by up to ``pixels`` in both directions; uncovered pixels repeat the edge.

    Built of integer indexing alone, so it can be differentiated twice.
    Source: Zhao et al. 2020 (arXiv:2006.10738), "translation".
    """

    kind: Literal["shift"] = "shift"
    pixels: int = Field(default=1, ge=1, le=16)
    image_only: ClassVar[bool] = True

    def __call__(self, items: Items, random: torch.Generator) -> Items:
        """[batch, channels, height, width] to the same shape."""
        batch, _, height, width = items.shape
        span = 2 * self.pixels + 1
        offsets = torch.randint(span, (2, batch, 1), generator=random, device=items.device)
        rows = offsets[0] + torch.arange(height, device=items.device)
        columns = offsets[1] + torch.arange(width, device=items.device)
        padded = pad(items, [self.pixels] * 4, mode="replicate")
        samples = torch.arange(batch, device=items.device)[:, None, None]
        moved = padded[samples, :, rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2)


Augmentation = Annotated[NoAugmentation | Shift, Field(discriminator="kind")]
