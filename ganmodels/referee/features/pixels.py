"""The values themselves as features."""

import hashlib
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.referee.features.batching import in_batches, shrunken
from ganmodels.spaces import Space

LONGEST_EDGE = 32


class Pixels:
    """Images in [-1, 1], averaged down to edges of at most 32, flattened; points over their scale.

    What distances between pixels mean for photographs is little; for points they are the
    natural choice.
    """

    kind: ClassVar[Literal["pixels"]] = "pixels"
    accuracy: ClassVar[float | None] = None

    def __init__(self, space: Space, device: torch.device) -> None:
        self.space, self.device = space, device
        definition = f"pixels/1/{LONGEST_EDGE}/{space.model_dump_json(exclude={'classes'})}"
        self.sha256 = hashlib.sha256(definition.encode()).hexdigest()

    def of(self, items: NDArray[np.generic]) -> NDArray[np.float32]:
        """Features [n, d] of stored items."""
        return in_batches(items, lambda some: shrunken(some, self.space, LONGEST_EDGE, self.device))

    def labels(self, items: NDArray[np.generic]) -> NDArray[np.int64] | None:
        """None: values say nothing of classes."""
        return None
