"""The translator game: images of one dataset into the style of another and back, unpaired.

Source: Zhu et al. 2017 (arXiv:1703.10593), equations 1 to 3 and section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import nn

from ganmodels.data.batches import Batch, Deck, parts
from ganmodels.games.match import Match, Memory
from ganmodels.games.player import Told, descend_together, mean_of, noted
from ganmodels.games.sourced import Sourced, distance, made_by, source_of, verdicts
from ganmodels.networks import ImageNetwork, ResidualTranslator
from ganmodels.objectives import LeastSquares, Objective
from ganmodels.replay import Pool, Replay
from ganmodels.types import Items, Scalar

if TYPE_CHECKING:
    from ganmodels.config import TrainConfig

# As large as what a network could hide an image in.
_NOISE = 0.05


class Way(NamedTuple):
    """One of the two ways to go, by the names of who makes, who judges and what is remembered."""

    generator: str
    discriminator: str
    pool: str

    def named(self, figure: str) -> str:
        """A figure of this way."""
        return self.generator.removesuffix("generator") + figure


FORWARD = Way("generator", "discriminator", "replay")
BACKWARD = Way("backward_generator", "backward_discriminator", "backward_replay")


class Made(NamedTuple):
    """What was made of source items, and of the dataset's."""

    forward: Items
    backward: Items


class Translator(Sourced):
    """Two generators, each undoing what the other does, against two judges of patches.

    ``generator`` makes items of the dataset of the source's, ``backward_generator`` the reverse.
    ``cycle_weight`` weighs the mean absolute difference of an image that went there and back;
    ``identity_weight``, in parts of it, that of one which was there already. Our least squares
    carry the factor 1/2, which the paper's have for the discriminators only: so 2 is the
    ``adversarial_weight`` of the paper. ``noisy_cycle_loss`` is the way there and back with
    noise added on the way: much above ``cycle_loss`` it says that images are hidden in the others.
    """

    kind: Literal["translator"] = "translator"
    network: ImageNetwork = ResidualTranslator()
    objective: Objective = LeastSquares()
    adversarial_weight: float = Field(default=2.0, ge=0, le=1e4)
    cycle_weight: float = Field(default=10.0, ge=0, le=1e4)
    identity_weight: float = Field(default=0.5, ge=0, le=100)
    replay: Replay = Replay(size=50, share=0.5)
    discriminator_steps: ClassVar[int] = 1
    players: ClassVar[tuple[str, ...]] = (
        "generator",
        "backward_generator",
        "discriminator",
        "backward_discriminator",
    )
    directions: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"a2b": "generator", "b2a": "backward_generator"}
    )
    metrics: ClassVar[tuple[str, ...]] = (
        "discriminator_loss",
        "generator_loss",
        "backward_discriminator_loss",
        "backward_generator_loss",
        "cycle_loss",
        "noisy_cycle_loss",
        "identity_loss",
        "real_logit",
        "fake_logit",
        "discriminator_gradient_norm",
        "generator_gradient_norm",
    )

    def networks(self, config: TrainConfig) -> dict[str, nn.Module]:
        """New networks by the names of their players."""
        network, space = self.network, config.space
        return {
            "generator": network.generator(space),
            "backward_generator": network.generator(space),
            "discriminator": network.discriminator(space),
            "backward_discriminator": network.discriminator(space),
        }

    def memories(self, match: Match) -> Mapping[str, Memory]:
        """What is remembered beside the networks."""
        if not self.replay.share:
            return {}
        shape, device = match.space.shape, match.device
        return {way.pool: self.replay.pool(shape, device) for way in (FORWARD, BACKWARD)}

    def step(self, match: Match, deck: Deck, random: torch.Generator) -> Told:
        """The generators' turn, then the discriminators', on what the generators made in theirs."""
        source, real = source_of(deck)(match.step), deck.real(match.step)
        told, made = self.generators_step(match, source, real, random)
        told |= self.discriminator_step(match, FORWARD, real, made.forward, random)
        backward = self.discriminator_step(match, BACKWARD, source, made.backward, random)
        return told | {"backward_discriminator_loss": backward["backward_discriminator_loss"]}

    def generators_step(
        self, match: Match, source: Batch, real: Batch, random: torch.Generator
    ) -> tuple[Told, Made]:
        """One update of both generators. Returns figures of it, and what they made before it."""
        told: list[Told] = []
        made: list[Made] = []
        count, players = match.optimisation.accumulate, match.players

        def losses() -> Iterator[tuple[Scalar, Told]]:
            for given, some in zip(parts(source, count), parts(real, count), strict=True):
                loss, figures, fakes = self.generators_loss(match, given.items, some.items, random)
                made.append(Made(fakes.forward.detach(), fakes.backward.detach()))
                yield loss, figures

        with players["discriminator"].frozen(), players["backward_discriminator"].frozen():
            generators = [players[way.generator] for way in (FORWARD, BACKWARD)]
            norm = descend_together(generators, noted(losses(), told), count)
        whole = Made(*(torch.cat(fakes) for fakes in zip(*made, strict=True)))
        return {**mean_of(told), "generator_gradient_norm": norm}, whole

    def generators_loss(
        self, match: Match, source: Items, real: Items, random: torch.Generator
    ) -> tuple[Scalar, Told, Made]:
        """What both generators minimise on a batch, figures of it, and what they made."""
        forward, unmoved = self._translated(match, FORWARD, source, real)
        backward, unmoved_back = self._translated(match, BACKWARD, real, source)
        returned = made_by(match, BACKWARD.generator, forward)
        returned_back = made_by(match, FORWARD.generator, backward)
        cycle = distance(returned, source) + distance(returned_back, real)
        identity = distance(unmoved, real) + distance(unmoved_back, source)
        fooling = self._fooling(match, FORWARD, forward)
        fooling_back = self._fooling(match, BACKWARD, backward)
        told = {
            FORWARD.named("generator_loss"): fooling,
            BACKWARD.named("generator_loss"): fooling_back,
            "cycle_loss": cycle,
            "noisy_cycle_loss": self._noisy_cycle(match, source, forward, real, backward, random),
            "identity_loss": identity,
        }
        kept = self.cycle_weight * (cycle + self.identity_weight * identity)
        loss = self.adversarial_weight * (fooling + fooling_back) + kept
        return loss, told, Made(forward, backward)

    def discriminator_step(
        self, match: Match, way: Way, real: Batch, fake: Items, random: torch.Generator
    ) -> Told:
        """One update of one discriminator. Returns figures of it."""
        count = match.optimisation.accumulate
        pool = match.memories.get(way.pool)
        if isinstance(pool, Pool):
            fake, _ = pool.swap(fake, None, random)
        losses = (
            self.discriminator_loss(match, way, some.items, made)
            for some, made in zip(parts(real, count), fake.chunk(count), strict=True)
        )
        told, norm = match.players[way.discriminator].learn(losses, count)
        return {**told, "discriminator_gradient_norm": norm}

    def discriminator_loss(
        self, match: Match, way: Way, real: Items, fake: Items
    ) -> tuple[Scalar, Told]:
        """What a discriminator minimises: the objective, mean over all patches."""
        of_real = verdicts(match, way.discriminator, real)
        of_fake = verdicts(match, way.discriminator, fake)
        loss = self.objective.discriminator_loss(of_real, of_fake)
        told = {
            way.named("discriminator_loss"): loss,
            "real_logit": of_real.mean(),
            "fake_logit": of_fake.mean(),
        }
        return loss, told

    def _translated(
        self, match: Match, way: Way, items: Items, there: Items
    ) -> tuple[Items, Items]:
        """Items translated, and what becomes of items that were there already.

        Where the latter counts for nothing they stay as they are. Both are computed at once,
        since no network here mixes the items of a batch.
        """
        if not self.identity_weight:
            return made_by(match, way.generator, items), there
        both = made_by(match, way.generator, torch.cat([items, there]))
        return both[: len(items)], both[len(items) :]

    def _fooling(self, match: Match, way: Way, fake: Items) -> Scalar:
        return self.objective.generator_loss(None, verdicts(match, way.discriminator, fake))

    @torch.no_grad()
    def _noisy_cycle(
        self,
        match: Match,
        source: Items,
        forward: Items,
        real: Items,
        backward: Items,
        random: torch.Generator,
    ) -> Scalar:
        """The cycle with noise on the way, of a quarter of the items: enough for a mean."""
        some = slice(max(1, len(source) // 4))

        def returned(way: Way, made: Items) -> Items:
            noise = torch.randn(made[some].shape, generator=random, device=made.device)
            return made_by(match, way.generator, made[some] + _NOISE * noise)

        there = distance(returned(BACKWARD, forward), source[some])
        return there + distance(returned(FORWARD, backward), real[some])
