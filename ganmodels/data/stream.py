"""What every reader returns: the facts that decide the space, and the items in order."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.errors import DataError, printable
from ganmodels.data.limits import Limits


@dataclass(frozen=True)
class Chunk:
    """Some consecutive items of one shape: uint8 [k, h, w, c] images or float32 [k, d] points.

    ``form`` says how they were stored ("RGB", "uint16"). ``original_size`` is their height
    and width in the source, where a reader has already changed it.
    """

    values: NDArray[Any]
    labels: NDArray[np.int64] | None
    form: str
    original_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ImageFacts:
    """How many images have which (height, width), and the channels that keep them all."""

    sizes: Mapping[tuple[int, int], int]
    channels: int


@dataclass(frozen=True)
class PointFacts:
    """The number of coordinates of each point."""

    dimensions: int


@dataclass
class Findings:
    """What a reader could not use; it grows while the chunks are read."""

    skipped: int = 0
    unreadable_count: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def add_unreadable(self, name: str, error: DataError, limits: Limits) -> None:
        """Count one bad item, and list it while the list is short."""
        self.unreadable_count += 1
        if len(self.unreadable) < limits.max_listed:
            self.unreadable.append((printable(name), error.detail))

    def require_usable(self, good: int, limits: Limits) -> None:
        """Refuse data of which too much is bad or too little is left."""
        percent = limits.max_unreadable_percent
        if self.unreadable_count * 100 > percent * (good + self.unreadable_count):
            raise DataError(
                "data_too_dirty",
                f"{self.unreadable_count} of {good + self.unreadable_count} images cannot be read"
                f"{self._first_example()}; at most {percent} % may be bad: "
                "repair or remove them.",
                percent,
            )
        if good < limits.min_items:
            raise DataError(
                "too_few_items",
                f"The file holds {good} usable items and {self.skipped} files that are not "
                f"images; at least {limits.min_items} items are needed: "
                "add images (png, jpg, webp, bmp, gif).",
                limits.min_items,
            )

    def _first_example(self) -> str:
        if not self.unreadable:
            return ""
        name, reason = self.unreadable[0]
        return f" (first: {name}: {reason.rstrip('.')})"


@dataclass(frozen=True)
class ItemStream:
    """A dataset about to be packed. Nothing of its size is in memory.

    ``count`` is an upper bound: items that turn out unreadable move to ``findings``.
    ``chunks()`` starts again from the first item at each call. ``classes`` is empty exactly
    when the chunks carry no labels. ``note`` is a sentence about a change made by the reader.
    """

    facts: ImageFacts | PointFacts
    count: int
    classes: tuple[str, ...]
    chunks: Callable[[], Iterator[Chunk]]
    limits: Limits
    findings: Findings = field(default_factory=Findings)
    note: str | None = None
