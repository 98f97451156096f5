"""What games share whose generators are given the items of a source dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.augmentation import NoAugmentation
from ganmodels.conditioning import Unconditional
from ganmodels.data.batches import Deck, Draw, to_network
from ganmodels.data.packed import PackedDataset
from ganmodels.games.match import Match
from ganmodels.inputs import Inputs, ItemInputs
from ganmodels.labels import GivenLabels
from ganmodels.networks import ImageNetwork
from ganmodels.objectives import Objective
from ganmodels.penalties import Penalty
from ganmodels.spaces import Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Logits, Scalar


class Sourced(Spec):
    """A game of images in, images of the same shape out; there are neither latents nor labels.

    Discriminators judge patches: their logits are [batch, rows, columns], and an item's logit is
    the mean over its patches. ``directions`` names the player that translates in each.
    """

    needs_source: ClassVar[bool] = True
    needs_float32: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = False
    latent: ClassVar[None] = None
    labels: ClassVar[GivenLabels] = GivenLabels()
    conditioning: ClassVar[Unconditional] = Unconditional()
    conditional: ClassVar[bool] = False
    classifies: ClassVar[bool] = False
    augmentation: ClassVar[NoAugmentation] = NoAugmentation()
    penalties: ClassVar[tuple[Penalty, ...]] = ()
    directions: ClassVar[Mapping[str, str]]
    objective: Objective
    network: ImageNetwork
    kind: str

    @property
    def objective_name(self) -> str:
        """What the networks' losses are called."""
        return self.objective.kind

    @property
    def boundary(self) -> float | None:
        """The logit above which an item is taken for real; None where only differences count."""
        return self.objective.boundary

    def inputs(self, source: PackedDataset | None) -> Inputs | None:
        """The source's items; none where the source is not at hand."""
        return None if source is None else ItemInputs(source)

    def given(
        self, inputs: NDArray[np.generic] | Tensor, space: Space, device: torch.device
    ) -> Tensor:
        """Stored images as a generator takes them."""
        return to_network(inputs, space, device)

    def logits(
        self, match: Match, items: Items, labels: Labels | None, random: torch.Generator
    ) -> Logits:
        """One logit for each item, the mean over its patches."""
        return verdicts(match, "discriminator", items).flatten(1).mean(1)


def made_by(match: Match, name: str, items: Items) -> Items:
    """What a generator makes of items."""
    with match.precision():
        made: Tensor = match.players[name].network(items, None)
    return made.float()


def verdicts(match: Match, name: str, items: Items) -> Tensor:
    """A discriminator's logits [batch, rows, columns]."""
    with match.precision():
        logits: Tensor = match.players[name].network(items, None).logits
    return logits.float()


def source_of(deck: Deck) -> Draw:
    """Draws batches of source items."""
    assert deck.source is not None, "this game is played with a source"
    return deck.source


def distance(first: Items, second: Items) -> Scalar:
    """Mean absolute difference of two batches of images."""
    return (first - second).abs().mean()
