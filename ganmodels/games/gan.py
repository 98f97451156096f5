"""The GAN game: a generator and a discriminator take turns.

``discriminator_loss`` and ``generator_loss`` hold the whole procedure; read them first.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ganmodels.augmentation import Augmentation, NoAugmentation
from ganmodels.conditioning import Auxiliary, Conditioning, Unconditional
from ganmodels.data.batches import Batch, Deck, parts
from ganmodels.games.drawn import Drawn
from ganmodels.games.exchange import Alternating, Exchange
from ganmodels.games.historical import WeightHistory
from ganmodels.games.match import Match, Memory
from ganmodels.games.player import Told
from ganmodels.games.strength import Strength
from ganmodels.games.unrolling import Unrolling, Weights, look_ahead
from ganmodels.information import Information
from ganmodels.labels import GivenLabels, LabelSource
from ganmodels.matching import FeatureMatching
from ganmodels.minibatch_features import MinibatchFeatures, NoMinibatchFeatures
from ganmodels.networks import Dcgan, Network
from ganmodels.networks.discriminator import Discriminator, Verdict
from ganmodels.networks.virtual import with_reference
from ganmodels.objectives import NonSaturating, Objective
from ganmodels.penalties import Judged, Penalty
from ganmodels.replay import Pool, Replay
from ganmodels.spaces import Space
from ganmodels.types import Items, Labels, Latents, Logits, Scalar

if TYPE_CHECKING:
    from ganmodels.config import TrainConfig

METRICS = (
    "discriminator_loss",
    "generator_loss",
    "penalty",
    "real_logit",
    "fake_logit",
    "discriminator_gradient_norm",
    "generator_gradient_norm",
)


class Made(NamedTuple):
    """Fakes, and what they were made from."""

    items: Items
    latents: Latents
    labels: Labels | None


class Seen(NamedTuple):
    """Reals and fakes, and what the discriminator says of them."""

    real: Batch
    fake: Made
    of_real: Verdict
    of_fake: Verdict


class Gan(Drawn):
    """One generator against one discriminator, on one dataset.

    The discriminator's weights are held in [-weight_clip, weight_clip] unless it is 0.
    ``historical_averaging`` weighs what it costs a network to be away from its mean so far.
    """

    kind: Literal["gan"] = "gan"
    network: Network = Dcgan()
    conditioning: Conditioning = Unconditional()
    objective: Objective = NonSaturating()
    penalties: tuple[Penalty, ...] = Field(default=(), max_length=3)
    weight_clip: float = Field(default=0.0, ge=0, le=10)
    labels: LabelSource = GivenLabels()
    augmentation: Augmentation = NoAugmentation()
    pack: int = Field(default=1, ge=1, le=8)
    minibatch_features: MinibatchFeatures = NoMinibatchFeatures()
    unrolling: Unrolling | None = None
    replay: Replay | None = None
    information: Information | None = None
    feature_matching: FeatureMatching | None = None
    historical_averaging: float = Field(default=0.0, ge=0, le=1e3)
    discriminator_steps: int = Field(default=1, ge=1, le=20)
    generator_steps: int = Field(default=1, ge=1, le=20)
    exchange: Exchange = Alternating()

    @property
    def objective_name(self) -> str:
        """What the networks' losses are called."""
        return self.objective.kind

    @property
    def needs_lipschitz(self) -> bool:
        """Whether a logit is a potential, which may be of any size."""
        return self.objective.needs_lipschitz

    @property
    def draws_per_step(self) -> int:
        """Batches of real items that one step takes; a paired objective shows G fresh ones."""
        fresh = self.objective.paired and not self.exchange.joint
        return self.discriminator_steps + fresh * self.generator_steps

    @property
    def conditional(self) -> bool:
        """Whether users can ask for a label."""
        return self.conditioning.needs_labels and self.labels.given

    @property
    def classifies(self) -> bool:
        """Whether the discriminator names the class of an item."""
        return self.conditioning.classifies and self.labels.given

    @property
    def needs_float32(self) -> bool:
        """Whether updates are looked through; a penalty's error in bfloat16 is far below the
        difference between two batches.
        """
        return self.unrolling is not None

    @property
    def boundary(self) -> float | None:
        """The logit above which an item is taken for real; None where only differences count."""
        return self.objective.boundary

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what a step measures."""
        heads = ["classification_loss"] * self.conditioning.classifies
        heads += ["information_loss"] * bool(self.information)
        return (*METRICS, *heads, *["augmentation_strength"] * self.augmentation.varies)

    def generator(self, space: Space) -> nn.Module:
        """A new generator: (latents, labels) to items."""
        classes = self.labels.classes(space)
        network = self.network.generator(self.latent.width, space, self.conditioning, classes)
        return with_reference(network, self.latent, classes)

    def discriminator(self, space: Space) -> Discriminator:
        """A new discriminator: (items, labels) to logits."""
        network, classes = self.network, self.labels.classes(space)
        channels = self.pack * space.shape[0]
        trunk = network.trunk(space, channels, self.conditioning, classes)
        minibatch = self.minibatch_features.build(trunk.width)
        head = network.wrap(self.conditioning.head(trunk.width + minibatch.extra, classes))
        classifier = self.conditioning.classifier(trunk.width, classes)
        recogniser = (
            self.information.recogniser(trunk.width, self.latent) if self.information else None
        )
        discriminator = Discriminator(
            trunk,
            head,
            self.pack,
            minibatch if self.minibatch_features.compares_items else None,
            classifier=classifier and network.wrap(classifier),
            recogniser=recogniser and network.wrap(recogniser),
        )
        network.initialise(discriminator)
        return discriminator

    def networks(self, config: TrainConfig) -> dict[str, nn.Module]:
        """New networks by the names of their players."""
        return {
            "generator": self.generator(config.space),
            "discriminator": self.discriminator(config.space),
        }

    def memories(self, match: Match) -> Mapping[str, Memory]:
        """What is remembered beside the networks."""
        found: dict[str, Memory] = {}
        if self.replay and self.replay.share:
            found["replay"] = self.replay.pool(match.space.shape, match.device)
        if self.augmentation.varies:
            found["augmentation"] = Strength(self.augmentation, match.device)
        if self.historical_averaging:
            for name, player in match.players.items():
                found[f"{name}_history"] = WeightHistory(player.weights)
        return found

    def step(self, match: Match, deck: Deck, random: torch.Generator) -> Told:
        """The discriminator's turns, then the generator's; the exchange plays what is joint."""
        told: Told = {}
        first = match.step * self.draws_per_step
        for turn in range(self.discriminator_steps):
            real = deck.real(first + turn)
            last = turn == self.discriminator_steps - 1
            play = partial(self.exchange.play, self) if last else self.discriminator_step
            told |= play(match, real, random)
            told |= self._adjusted(match, told["real_sign"], turn)
        for turn in range(0 if self.exchange.joint else self.generator_steps):
            if self.objective.paired:
                real = deck.real(first + self.discriminator_steps + turn)
            told |= self.generator_step(match, real, random)
        for memory in match.memories.values():
            if isinstance(memory, WeightHistory):
                memory.add(match.step + 1)
        return told

    def discriminator_step(
        self, match: Match, real: Batch, random: torch.Generator, fake: Made | None = None
    ) -> Told:
        """One update of the discriminator, by new fakes unless some are given."""
        count = match.optimisation.accumulate
        losses = (self.discriminator_loss(match, part, random, fake) for part in parts(real, count))
        told, norm = match.players["discriminator"].learn(losses, count)
        self.clip(match)
        return {**told, "discriminator_gradient_norm": norm}

    def discriminator_loss(
        self, match: Match, real: Batch, random: torch.Generator, fake: Made | None = None
    ) -> tuple[Scalar, Told]:
        """What the discriminator minimises on a batch, and figures of it."""
        if fake is None:
            with torch.no_grad():
                fake = self._replayed(match, self.make(match, real, random), random)
        return self.judging(match, self.look(match, real, fake, random), random)

    def look(self, match: Match, real: Batch, fake: Made, random: torch.Generator) -> Seen:
        """What the discriminator says of both, differentiable by items that penalties look at."""
        if self._due(match):
            real.items.requires_grad_(True)
            fake.items.requires_grad_(True)
        of_real = self.judge(match, real.items, real.labels, random)
        of_fake = self.judge(match, fake.items, fake.labels, random)
        return Seen(real, fake, of_real, of_fake)

    def judging(self, match: Match, seen: Seen, random: torch.Generator) -> tuple[Scalar, Told]:
        """The discriminator's loss on what it has seen, and figures of it."""
        real, fake, of_real, of_fake = seen
        loss = self.objective.discriminator_loss(of_real.logits, of_fake.logits)

        def critic(items: Items) -> Logits:
            return self.judge(match, items, real.labels, random).logits

        judged = Judged(
            real.items, fake.items, of_real.logits, of_fake.logits, critic, random, match.settled
        )
        penalty = torch.zeros_like(loss)
        for term in self._due(match):
            penalty = penalty + term(judged)
        told = {
            "discriminator_loss": loss,
            "penalty": penalty,
            "real_logit": of_real.logits.mean(),
            "fake_logit": of_fake.logits.mean(),
            "real_sign": (of_real.logits - (self.boundary or 0.0)).sign().mean(),
        }
        heads = self._naming(of_real, real.labels, of_fake, fake.labels) + self._informing(
            of_fake, fake
        )
        return loss + penalty + heads + self._inertia(match, "discriminator"), told

    def generator_step(
        self, match: Match, real: Batch, random: torch.Generator, fake: Made | None = None
    ) -> Told:
        """One update of the generator, by new fakes unless some are given."""
        count = match.optimisation.accumulate
        losses = (self.generator_loss(match, part, random, fake) for part in parts(real, count))
        with match.players["discriminator"].frozen():
            told, norm = match.players["generator"].learn(losses, count)
        return {**told, "generator_gradient_norm": norm}

    def generator_loss(
        self, match: Match, real: Batch, random: torch.Generator, fake: Made | None = None
    ) -> tuple[Scalar, Told]:
        """What the generator minimises beside a batch of reals, and figures of it."""
        fake = fake or self.make(match, real, random)
        ahead = self._look_ahead(match, real, fake, random)
        of_fake = self.judge(match, fake.items, fake.labels, random, ahead)
        of_real = None
        if self.objective.paired or self.feature_matching:
            # Looked at from ahead, reals too lead back to the generator.
            with torch.set_grad_enabled(ahead is not None):
                of_real = self.judge(match, real.items, real.labels, random, ahead)
        return self.making(match, fake, of_real, of_fake)

    def making(
        self, match: Match, fake: Made, of_real: Verdict | None, of_fake: Verdict
    ) -> tuple[Scalar, Told]:
        """The generator's loss by what is said of its fakes and, where it matters, of reals."""
        loss = self.objective.generator_loss(of_real and of_real.logits, of_fake.logits)
        if self.feature_matching and of_real:
            loss = self.feature_matching.loss(of_real.features, of_fake.features, loss)
        told = {"generator_loss": loss}
        if isinstance(self.conditioning, Auxiliary) and of_fake.classes is not None:
            told["classification_loss"] = named_right(of_fake.classes, fake.labels)
            loss = loss + self.conditioning.weight * told["classification_loss"]
        if self.information:
            told["information_loss"] = self._informing(of_fake, fake)
            loss = loss + told["information_loss"]
        return loss + self._inertia(match, "generator"), told

    @torch.no_grad()
    def clip(self, match: Match) -> None:
        """Hold the discriminator's weights. Source: Arjovsky et al. 2017 (arXiv:1701.07875)."""
        if self.weight_clip:
            weights = list[Tensor](match.players["discriminator"].weights)
            torch._foreach_clamp_min_(weights, -self.weight_clip)
            torch._foreach_clamp_max_(weights, self.weight_clip)

    def make(self, match: Match, real: Batch, random: torch.Generator) -> Made:
        """As many fakes as there are reals, with the same labels."""
        latents = self.latent.draw(len(real.items), random)
        with match.precision():
            items: Tensor = match.generator(latents, real.labels)
        return Made(items.float(), latents, real.labels)

    def judge(
        self,
        match: Match,
        items: Items,
        labels: Labels | None,
        random: torch.Generator,
        weights: Weights | None = None,
    ) -> Verdict:
        """What the discriminator, or one with other weights, says of augmented items."""
        strength = match.memories.get("augmentation")
        force = strength.value if isinstance(strength, Strength) else None
        seen, discriminator = self.augmentation(items, random, force), match.discriminator
        with match.precision():
            verdict: Verdict = (
                discriminator(seen, labels)
                if weights is None
                else functional_call(discriminator, weights, (seen, labels))
            )
        return verdict.float()

    def logits(
        self, match: Match, items: Items, labels: Labels | None, random: torch.Generator
    ) -> Logits:
        """One logit for each item, or pack of items that is full."""
        whole = len(items) // self.pack * self.pack
        if not whole:
            return items.new_empty(0)
        return self.judge(match, items[:whole], labels, random).logits

    def _due(self, match: Match) -> list[Penalty]:
        return [penalty for penalty in self.penalties if match.step % penalty.every == 0]

    def _look_ahead(
        self, match: Match, real: Batch, fake: Made, random: torch.Generator
    ) -> Weights | None:
        if self.unrolling is None:
            return None

        def loss_at(weights: Weights) -> Scalar:
            of_real = self.judge(match, real.items, real.labels, random, weights)
            of_fake = self.judge(match, fake.items, fake.labels, random, weights)
            return self.objective.discriminator_loss(of_real.logits, of_fake.logits)

        return look_ahead(match.players["discriminator"], self.unrolling.steps, loss_at)

    def _replayed(self, match: Match, fake: Made, random: torch.Generator) -> Made:
        """Fakes, some of them from the pool where there is one."""
        pool = match.memories.get("replay")
        if not isinstance(pool, Pool):
            return fake
        items, labels = pool.swap(fake.items, fake.labels, random)
        return fake._replace(items=items, labels=labels)

    def _adjusted(self, match: Match, real_sign: Scalar, turn: int) -> Told:
        """The strength of augmentation in a turn; afterwards it is adjusted where it is due."""
        strength = match.memories.get("augmentation")
        if not isinstance(strength, Strength):
            return {}
        match.group.average([real_sign])
        number = match.step * self.discriminator_steps + turn + 1
        images = match.optimisation.batch_size
        return {"augmentation_strength": strength.note(real_sign, number, images, match.settled)}

    def _inertia(self, match: Match, name: str) -> Scalar | float:
        """What it costs a player to be away from where it has been."""
        history = match.memories.get(f"{name}_history")
        if not isinstance(history, WeightHistory):
            return 0.0
        return self.historical_averaging * history.distance()

    def _informing(self, of_fake: Verdict, fake: Made) -> Scalar:
        """The loss for codes that are not recognised, 0 where there are none."""
        if self.information is None or of_fake.codes is None:
            return of_fake.logits.new_zeros(())
        return self.information.loss(of_fake.codes, fake.latents, self.latent)

    def _naming(
        self,
        of_real: Verdict,
        real_labels: Labels | None,
        of_fake: Verdict,
        fake_labels: Labels | None,
    ) -> Scalar:
        """The discriminator's loss for naming classes, 0 where it names none."""
        if not isinstance(self.conditioning, Auxiliary) or of_real.classes is None:
            return of_real.logits.new_zeros(())
        loss = named_right(of_real.classes, real_labels)
        if self.conditioning.classify_fakes and of_fake.classes is not None:
            loss = loss + named_right(of_fake.classes, fake_labels)
        return self.conditioning.weight * loss


def named_right(classes: Tensor, labels: Labels | None) -> Scalar:
    """Cross-entropy of logits [batch, classes], mean over the batch."""
    assert labels is not None, "a classifier needs labels"
    return cross_entropy(classes, labels)
