"""What measures are taken of: generated and real items, side by side."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.packed import PackedDataset
from ganmodels.referee.features.loading import Features
from ganmodels.spaces import Space

Items = NDArray[np.generic]
Distances = NDArray[np.float64]


class NotMeasuredError(Exception):
    """A measure that has no meaning here; the message is a sentence for people."""


@dataclass(frozen=True)
class Contest:
    """Equally many fakes and reals, stored, with their features.

    The floor is a contest too: other reals in the place of fakes. ``critic_reals`` are those
    that a critic is trained on and those, held out, that it is judged on. ``copies`` and
    ``unseen`` are distances to the nearest training item: of fakes, and of held-out items.
    """

    dataset: PackedDataset
    features: Features
    fakes: Items
    reals: Items
    real_features: NDArray[np.float32]
    critic_reals: tuple[Items, Items]
    copies: Distances
    unseen: Distances
    seed: int
    with_errors: bool = True

    @property
    def space(self) -> Space:
        """What one item is."""
        return self.dataset.manifest.space

    @cached_property
    def fake_features(self) -> NDArray[np.float32]:
        """Features [n, d] of the fakes.

        Raises: NotMeasuredError where one is not finite.
        """
        found = self.features.of(self.fakes)
        if not np.isfinite(found).all():
            raise NotMeasuredError("The generator draws values too large to compute with.")
        return found
