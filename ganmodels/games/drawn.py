"""What games share whose generators are given latents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.data.packed import PackedDataset
from ganmodels.inputs import Inputs, LatentInputs
from ganmodels.latents import Latent
from ganmodels.spaces import Space
from ganmodels.spec import Spec


class Drawn(Spec):
    """A game of latents in, items out."""

    needs_source: ClassVar[bool] = False
    players: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    directions: ClassVar[Mapping[str, str]] = MappingProxyType({})
    latent: Latent = Latent()

    def inputs(self, source: PackedDataset | None) -> Inputs:
        """Latents; no dataset is needed for them."""
        return LatentInputs(self.latent)

    def given(
        self, inputs: NDArray[np.generic] | Tensor, space: Space, device: torch.device
    ) -> Tensor:
        """Latents as the generator takes them."""
        return torch.as_tensor(inputs).to(device)
