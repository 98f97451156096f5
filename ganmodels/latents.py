"""Latents: the generator's input, drawn in training from a stream, in serving by (seed, index)."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ganmodels.spec import Spec
from ganmodels.types import Latents

MAX_SEED = 2**63 - 1


class Latent(Spec):
    """Standard normal coordinates, then coordinates that are -1 or 1.

    Random signs let the generator's support fall apart into pieces, so that fewer samples lie
    between modes.
    """

    gaussian: int = Field(default=64, ge=1, le=1024)
    signs: int = Field(default=0, ge=0, le=64)

    @property
    def width(self) -> int:
        """Length of one latent."""
        return self.gaussian + self.signs

    def draw(self, count: int, random: torch.Generator) -> Latents:
        """``count`` latents from a stream, on the stream's device."""
        normal = torch.randn(count, self.gaussian, generator=random, device=random.device)
        if not self.signs:
            return normal
        bits = torch.randint(2, (count, self.signs), generator=random, device=random.device)
        return torch.cat([normal, bits.to(normal.dtype) * 2 - 1], dim=1)

    def at(self, seed: int, index: int) -> NDArray[np.float32]:
        """The latent of image ``index`` under ``seed``: the same on every machine.

        Counter-based (Philox, Salmon et al. 2011): no draw depends on any other index. A test
        holds literal values, because NumPy may change how it makes normal numbers of its bits.
        """
        random = philox(seed, index)
        normal = random.standard_normal(self.gaussian, dtype=np.float32)
        signs = random.integers(0, 2, self.signs, dtype=np.int64) * 2 - 1
        return np.concatenate([normal, signs.astype(np.float32)])

    def truncate(self, latents: NDArray[np.float32], truncation: float) -> NDArray[np.float32]:
        """Normal coordinates scaled by ``truncation`` (1 changes nothing); signs are kept."""
        scaled = latents.copy()
        scaled[:, : self.gaussian] *= np.float32(truncation)
        return scaled


def philox(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """A generator of its own for each (seed, index, stream); all are non-negative."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, stream, index, 0]))
