"""Spaces: what one item of a dataset is. Not even torch is imported here: readers use it alone."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ganmodels.spec import Spec

ClassName = Annotated[str, Field(min_length=1, max_length=100)]


class ImageSpace(Spec):
    """Images, stored as uint8 [height, width, channels], trained in [-1, 1].

    Channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. ``classes`` names the labels 0..k-1;
    it is empty when the dataset has no labels. ``bounded``: values lie in [-1, 1] in training.
    """

    kind: Literal["image"] = "image"
    bounded: ClassVar[bool] = True
    height: int = Field(ge=1, le=1024)
    width: int = Field(ge=1, le=1024)
    channels: int = Field(ge=1, le=4)
    classes: tuple[ClassName, ...] = Field(default=(), max_length=1000)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item as the networks see it: (channels, height, width)."""
        return (self.channels, self.height, self.width)


class PointSpace(Spec):
    """Points in a few dimensions, stored as float32 [dimensions] in their own units.

    Networks see ``point / scale``, so that coordinates have about unit standard deviation.
    """

    kind: Literal["points"] = "points"
    bounded: ClassVar[bool] = False
    dimensions: int = Field(ge=1, le=64)
    scale: float = Field(default=1.0, gt=0, le=1e12)
    classes: tuple[ClassName, ...] = Field(default=(), max_length=1000)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item as the networks see it: (dimensions,)."""
        return (self.dimensions,)


Space = Annotated[ImageSpace | PointSpace, Field(discriminator="kind")]
