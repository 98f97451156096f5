"""How strongly items are augmented now; part of a match's state."""

import torch
from torch import Tensor

from ganmodels.augmentation import Augmentation
from ganmodels.types import Scalar

# Source: Karras et al. 2020 (arXiv:2006.06676), section 3.1.
_TURNS_PER_ADJUSTMENT = 4


class Strength:
    """The strength of an augmentation, which follows how sure the discriminator is of reals."""

    def __init__(self, augmentation: Augmentation, device: torch.device) -> None:
        self._augmentation = augmentation
        self.value = torch.full((), augmentation.first_strength, device=device)
        self._signs = torch.zeros((), device=device)

    def tensors(self) -> dict[str, Tensor]:
        """The strength, and the signs of the turns since it was adjusted."""
        return {"strength": self.value, "signs": self._signs}

    @torch.no_grad()
    def note(self, sign_mean: Scalar, turn: int, images: int, settled: float) -> Scalar:
        """Take in the mean sign of the logits of the ``images`` reals of a turn.

        Turns are counted from 1 through the whole training. Returns the strength that was in force.
        """
        used = self.value.clone()
        self._signs += sign_mean
        if turn % _TURNS_PER_ADJUSTMENT == 0:
            mean, count = self._signs / _TURNS_PER_ADJUSTMENT, _TURNS_PER_ADJUSTMENT * images
            self.value.copy_(self._augmentation.adjusted(self.value, mean, count, settled))
            self._signs.zero_()
        return used
