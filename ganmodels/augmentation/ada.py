"""Adaptive discriminator augmentation, written from the paper.

Source: Karras et al. 2020 (arXiv:2006.06676), section 3 and appendix B.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganmodels.augmentation.transformations import Chance, blit, geometry, recolored
from ganmodels.augmentation.warp import warped
from ganmodels.spec import Spec
from ganmodels.types import Items, Scalar

Strength = Annotated[float, Field(ge=0, le=1)]


class Ada(Spec):
    """Every transformation is applied to an image with a probability, the strength.

    ``blit``: mirroring, quarter turns, whole-pixel moves. ``geometry``: scaling, turning,
    stretching, moves by parts of a pixel. ``color``: brightness, contrast, inversion of luma and,
    of RGB images, hue and saturation; alpha is left as it is. Against the paper, images are
    interpolated linearly, and quarter turns of images that are not square are half turns.

    The strength rises while the discriminator is surer of its reals than ``target`` (the mean
    sign of their logits) and falls while it is less sure, by at most 1 in ``adjust_images``.
    If it is not ``adaptive`` it moves from ``start`` to ``final`` while the burn-in lasts. Above
    ``most``, which it never passes, augmentations leak into samples.
    """

    kind: Literal["ada"] = "ada"
    policy: tuple[Literal["blit", "geometry", "color"], ...] = Field(
        default=("blit", "geometry", "color"), min_length=1, max_length=3
    )
    adaptive: bool = True
    target: float = Field(default=0.6, gt=-1, lt=1)
    adjust_images: int = Field(default=500_000, ge=1, le=10**9)
    start: Strength = 0.0
    final: Strength = 0.3
    most: Strength = 0.8
    image_only: ClassVar[bool] = True
    varies: ClassVar[bool] = True

    @property
    def recolors(self) -> bool:
        """Whether hue or saturation change, where an image has them."""
        return "color" in self.policy

    @property
    def needs_anchored_logits(self) -> bool:
        """Whether a logit of 0 must separate reals from fakes."""
        return self.adaptive

    @property
    def first_strength(self) -> float:
        """The strength at the start of training."""
        return min(self.start, self.most)

    def adjusted(
        self, strength: Scalar, sign_mean: Scalar, images: int, settled: float = 1.0
    ) -> Scalar:
        """The strength after ``images`` more real images, whose logits have this mean sign."""
        if not self.adaptive:
            scheduled = self.start + (self.final - self.start) * settled
            return torch.full_like(strength, min(scheduled, self.most))
        step = torch.sign(sign_mean - self.target) * images / self.adjust_images
        return (strength + step).clamp(0, self.most)

    def __call__(
        self, items: Items, random: torch.Generator, strength: Tensor | None = None
    ) -> Items:
        """[batch, channels, height, width] to the same shape; 0 leaves items as they are.

        Without a strength it is the first one.
        """
        if strength is None:
            strength = torch.tensor(self.first_strength, device=items.device)
        chance = Chance(items, strength, random)
        if "blit" in self.policy or "geometry" in self.policy:
            warp = chance.nothing(3)
            if "blit" in self.policy:
                warp = warp @ blit(chance, *items.shape[2:])
            if "geometry" in self.policy:
                warp = warp @ geometry(chance, *items.shape[2:])
            items = warped(items, warp)
        return recolored(items, chance) if "color" in self.policy else items
