"""Augmentation inside the discriminator: the same function on reals and fakes, in both steps.

All are called as ``augmentation(items, random, strength)``, keep the shape of items, treat each
item by itself, and can be differentiated twice, so that penalties may look through them. To add
one: write its file and add its name to the union.
"""

from typing import Annotated

from pydantic import Field

from ganmodels.augmentation.ada import Ada
from ganmodels.augmentation.diffaugment import DiffAugment
from ganmodels.augmentation.fixed import NoAugmentation, Shift

Augmentation = Annotated[NoAugmentation | Shift | DiffAugment | Ada, Field(discriminator="kind")]

__all__ = ["Ada", "Augmentation", "DiffAugment", "NoAugmentation", "Shift"]
