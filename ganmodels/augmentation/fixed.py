"""What all augmentations share, and the two smallest ones."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from ganmodels.draws import whole
from ganmodels.spec import Spec
from ganmodels.types import Items, Scalar


class Fixed(Spec):
    """An augmentation whose strength is part of what it is; a given one is ignored.

    ``image_only``: needs images. ``needs_anchored_logits``: its strength follows the sign of the
    logits of reals, so 0 must be what separates reals from fakes. ``varies``: has a strength that
    changes.
    """

    image_only: ClassVar[bool] = True
    needs_anchored_logits: ClassVar[bool] = False
    varies: ClassVar[bool] = False

    @property
    def recolors(self) -> bool:
        """Whether hue or saturation change, where an image has them."""
        return False

    @property
    def first_strength(self) -> float:
        """The strength at the start of training."""
        return 0.0

    def adjusted(
        self, strength: Scalar, sign_mean: Scalar, images: int, settled: float = 1.0
    ) -> Scalar:
        """The strength after ``images`` more real images."""
        return strength


class NoAugmentation(Fixed):
    """Items as they are."""

    kind: Literal["none"] = "none"
    image_only: ClassVar[bool] = False

    def __call__(
        self, items: Items, random: torch.Generator, strength: Tensor | None = None
    ) -> Items:
        """Return the items."""
        return items


class Shift(Fixed):
    """Moves each image by up to ``pixels`` in both directions; uncovered pixels repeat the edge.

    Built of integer indexing alone, so it can be differentiated twice.
    Source: Zhao et al. 2020 (arXiv:2006.10738), "translation".
    """

    kind: Literal["shift"] = "shift"
    pixels: int = Field(default=1, ge=1, le=16)

    def __call__(
        self, items: Items, random: torch.Generator, strength: Tensor | None = None
    ) -> Items:
        """[batch, channels, height, width] to the same shape."""
        return moved(items, (self.pixels, self.pixels), random, "replicate")


def moved(
    items: Items, most: tuple[int, int], random: torch.Generator, edge: Literal["replicate", "zero"]
) -> Items:
    """Images moved by up to ``most`` whole rows and columns, each by a draw of its own.

    Uncovered pixels repeat the edge or are 0. Integer indexing can be differentiated twice.
    """
    batch, _, *sizes = items.shape
    mode = "constant" if edge == "zero" else edge
    padded = pad(items, [most[1], most[1], most[0], most[0]], mode=mode)
    places = []
    for size, furthest in zip(sizes, most, strict=True):
        span = 2 * furthest + 1
        offset = whole(span, (batch, 1), random, items.device)
        places.append(offset + torch.arange(size, device=items.device))
    rows, columns = places
    samples = torch.arange(batch, device=items.device)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def color_channels(channels: int) -> int:
    """How many of an image's channels are colour: 1 of grey, 3 of RGB, without alpha."""
    return channels - (channels in (2, 4))
