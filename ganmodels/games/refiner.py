"""The refiner game: simulated images in, realistic ones out, their content kept.

Source: Shrivastava et al. 2016 (arXiv:1612.07828), algorithm 1 and equations 2 to 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import avg_pool2d

from ganmodels.data.batches import Batch, Deck, parts
from ganmodels.games.match import Match, Memory
from ganmodels.games.player import Told
from ganmodels.games.sourced import Sourced, distance, made_by, source_of, verdicts
from ganmodels.networks import ImageNetwork, ResidualRefiner
from ganmodels.objectives import NonSaturating, Objective
from ganmodels.replay import Pool, Replay
from ganmodels.types import Items, Scalar

if TYPE_CHECKING:
    from ganmodels.config import TrainConfig


class Refiner(Sourced):
    """A generator that makes source items look like the dataset's, against a judge of patches.

    ``self_regularisation`` weighs the mean absolute difference between an image and what is made
    of it, which keeps its label valid. What differs are the means of all squares of
    ``regularised_window`` pixels a side: with 1 every pixel is held, with more ink may be laid
    another way about the same places (equation 4 has any features there). In the first
    ``generator_warm_up`` steps the generator learns by that alone, in the next
    ``discriminator_warm_up`` the discriminator alone learns; figures of turns that are not taken
    are 0. ``replay`` is the history of refined images.
    """

    kind: Literal["refiner"] = "refiner"
    network: ImageNetwork = ResidualRefiner()
    objective: Objective = NonSaturating()
    self_regularisation: float = Field(default=1.0, ge=0, le=1e4)
    regularised_window: int = Field(default=1, ge=1, le=8)
    replay: Replay = Replay(size=2_000, share=0.5)
    generator_warm_up: int = Field(default=1_000, ge=0, le=10**7)
    discriminator_warm_up: int = Field(default=200, ge=0, le=10**7)
    discriminator_steps: int = Field(default=1, ge=1, le=20)
    generator_steps: int = Field(default=2, ge=1, le=20)
    players: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    directions: ClassVar[Mapping[str, str]] = MappingProxyType({"a2b": "generator"})
    metrics: ClassVar[tuple[str, ...]] = (
        "discriminator_loss",
        "generator_loss",
        "self_regularisation_loss",
        "real_logit",
        "fake_logit",
        "discriminator_gradient_norm",
        "generator_gradient_norm",
    )

    def networks(self, config: TrainConfig) -> dict[str, nn.Module]:
        """New networks by the names of their players."""
        return {
            "generator": self.network.generator(config.space),
            "discriminator": self.network.discriminator(config.space),
        }

    def memories(self, match: Match) -> Mapping[str, Memory]:
        """What is remembered beside the networks."""
        if not self.replay.share:
            return {}
        return {"replay": self.replay.pool(match.space.shape, match.device)}

    def step(self, match: Match, deck: Deck, random: torch.Generator) -> Told:
        """The generator's turns, then the discriminator's; in the warm-up one of them."""
        told = {name: torch.zeros((), device=match.device) for name in self.metrics}
        source = source_of(deck)
        first = match.step * (self.generator_steps + self.discriminator_steps)
        if self._generator_plays(match.step):
            for turn in range(self.generator_steps):
                told |= self.generator_step(match, source(first + turn))
        if self._discriminator_plays(match.step):
            for turn in range(self.discriminator_steps):
                real = deck.real(match.step * self.discriminator_steps + turn)
                given = source(first + self.generator_steps + turn)
                told |= self.discriminator_step(match, real, given, random)
        return told

    def discriminator_step(
        self, match: Match, real: Batch, source: Batch, random: torch.Generator
    ) -> Told:
        """One update of the discriminator. Returns figures of it."""
        count = match.optimisation.accumulate
        losses = (
            self.discriminator_loss(match, some.items, given.items, random)
            for some, given in zip(parts(real, count), parts(source, count), strict=True)
        )
        told, norm = match.players["discriminator"].learn(losses, count)
        return {**told, "discriminator_gradient_norm": norm}

    def discriminator_loss(
        self, match: Match, real: Items, source: Items, random: torch.Generator
    ) -> tuple[Scalar, Told]:
        """What the discriminator minimises: the objective, mean over all patches."""
        with torch.no_grad():
            fake = made_by(match, "generator", source)
        pool = match.memories.get("replay")
        if isinstance(pool, Pool):
            fake, _ = pool.swap(fake, None, random)
        of_real = verdicts(match, "discriminator", real)
        of_fake = verdicts(match, "discriminator", fake)
        loss = self.objective.discriminator_loss(of_real, of_fake)
        told = {
            "discriminator_loss": loss,
            "real_logit": of_real.mean(),
            "fake_logit": of_fake.mean(),
        }
        return loss, told

    def generator_step(self, match: Match, source: Batch) -> Told:
        """One update of the generator. Returns figures of it."""
        count = match.optimisation.accumulate
        losses = (self.generator_loss(match, given.items) for given in parts(source, count))
        with match.players["discriminator"].frozen():
            told, norm = match.players["generator"].learn(losses, count)
        return {**told, "generator_gradient_norm": norm}

    def generator_loss(self, match: Match, source: Items) -> tuple[Scalar, Told]:
        """What the generator minimises; in its warm-up the difference from the source alone."""
        fake = made_by(match, "generator", source)
        kept = distance(self._regularised(fake), self._regularised(source))
        told = {"self_regularisation_loss": kept}
        if match.step < self.generator_warm_up:
            return kept, told
        loss = self.objective.generator_loss(None, verdicts(match, "discriminator", fake))
        return loss + self.self_regularisation * kept, {**told, "generator_loss": loss}

    def _regularised(self, images: Items) -> Items:
        if self.regularised_window == 1:
            return images
        return avg_pool2d(images, self.regularised_window, stride=1)

    def _generator_plays(self, step: int) -> bool:
        warm_up = self.generator_warm_up
        return step < warm_up or step >= warm_up + self.discriminator_warm_up

    def _discriminator_plays(self, step: int) -> bool:
        return step >= self.generator_warm_up
