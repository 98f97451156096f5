"""The semi-supervised game: a classifier learns from a few labels and from fakes.

The discriminator names the class of an item or takes it for a fake; what is neither labelled nor
fake teaches it that there is some class. The generator imitates what it sees.
Source: Salimans et al. 2016 (arXiv:1606.03498), sections 3.1 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from ganmodels.augmentation import Augmentation, NoAugmentation
from ganmodels.conditioning import Conditioning, Unconditional
from ganmodels.data.batches import Batch, Deck, parts
from ganmodels.games.drawn import Drawn
from ganmodels.games.match import Match, Memory
from ganmodels.games.player import Told
from ganmodels.labels import GivenLabels
from ganmodels.latents import Latent
from ganmodels.matching import distance
from ganmodels.networks import Network, NoisyMlp
from ganmodels.networks.discriminator import ClassifierDiscriminator, Discriminator, Verdict
from ganmodels.networks.virtual import with_reference
from ganmodels.penalties import Penalty
from ganmodels.spaces import Space
from ganmodels.types import Items, Labels, Logits, Scalar

if TYPE_CHECKING:
    from ganmodels.config import TrainConfig


class SemiSupervised(Drawn):
    """One generator, and a discriminator that is told the labels of a few items of each class.

    ``labelled_per_class`` items of each class, chosen by the seed, are the only ones whose
    labels training looks at; ``unlabelled_weight`` weighs what all others teach against them.
    """

    kind: Literal["semi_supervised"] = "semi_supervised"
    latent: Latent = Latent(gaussian=100)
    network: Network = NoisyMlp()
    labelled_per_class: int = Field(default=10, ge=1, le=10_000)
    unlabelled_weight: float = Field(default=1.0, gt=0, le=100)
    augmentation: Augmentation = NoAugmentation()

    conditioning: ClassVar[Conditioning] = Unconditional()
    labels: ClassVar[GivenLabels] = GivenLabels()
    penalties: ClassVar[tuple[Penalty, ...]] = ()
    discriminator_steps: ClassVar[int] = 1
    # One for each player: what the generator imitates is not what the discriminator just saw.
    draws_per_step: ClassVar[int] = 2
    needs_lipschitz: ClassVar[bool] = False
    needs_float32: ClassVar[bool] = False
    objective_name: ClassVar[str] = "semi_supervised"
    conditional: ClassVar[bool] = False
    classifies: ClassVar[bool] = True
    boundary: ClassVar[float | None] = 0.0
    metrics: ClassVar[tuple[str, ...]] = (
        "discriminator_loss",
        "generator_loss",
        "classification_loss",
        "real_logit",
        "fake_logit",
        "discriminator_gradient_norm",
        "generator_gradient_norm",
    )

    def networks(self, config: TrainConfig) -> dict[str, nn.Module]:
        """New networks by the names of their players."""
        space, network = config.space, self.network
        classes = self.labels.classes(space)
        generator = network.generator(self.latent.width, space, self.conditioning, classes)
        generator = with_reference(generator, self.latent, classes)
        return {"generator": generator, "discriminator": self.discriminator(space)}

    def discriminator(self, space: Space) -> Discriminator:
        """A new discriminator: (items, labels) to a verdict with the logits of all classes."""
        network, classes = self.network, self.labels.classes(space)
        trunk = network.trunk(space, space.shape[0], self.conditioning, classes)
        classifier = network.wrap(nn.Linear(trunk.width, classes))
        discriminator = ClassifierDiscriminator(trunk, classifier)
        network.initialise(discriminator)
        return discriminator

    def memories(self, match: Match) -> Mapping[str, Memory]:
        """Nothing is remembered beside the networks."""
        return {}

    def step(self, match: Match, deck: Deck, random: torch.Generator) -> Told:
        """The discriminator's turn, then the generator's."""
        assert deck.labelled is not None, "this game is dealt labelled items"
        first = match.step * self.draws_per_step
        labelled, real = deck.labelled(match.step), deck.real(first)
        told = self.discriminator_step(match, labelled, real, random)
        return told | self.generator_step(match, deck.real(first + 1), random)

    def discriminator_step(
        self, match: Match, labelled: Batch, real: Batch, random: torch.Generator
    ) -> Told:
        """One update of the discriminator. Returns figures of it."""
        count = match.optimisation.accumulate
        pairs = zip(parts(labelled, count), parts(real, count), strict=True)
        losses = (self.discriminator_loss(match, *pair, random) for pair in pairs)
        told, norm = match.players["discriminator"].learn(losses, count)
        return {**told, "discriminator_gradient_norm": norm}

    def discriminator_loss(
        self, match: Match, labelled: Batch, real: Batch, random: torch.Generator
    ) -> tuple[Scalar, Told]:
        """What the discriminator minimises on two batches, and figures of it."""
        with torch.no_grad():
            fakes = self._make(match, len(real.items), random)
        # Judged together: one large product is quicker than three, and no layer mixes the batch.
        verdict = self.judge(match, torch.cat([labelled.items, real.items, fakes]), random)
        known, unknown = len(labelled.items), len(real.items)
        assert verdict.classes is not None
        supervised = supervised_loss(verdict.classes[:known], labelled.labels)
        of_real, of_fake = verdict.logits[known:].split(unknown)
        unsupervised = unsupervised_loss(of_real, of_fake)
        told = {
            "discriminator_loss": unsupervised,
            "classification_loss": supervised,
            "real_logit": of_real.mean(),
            "fake_logit": of_fake.mean(),
        }
        return supervised + self.unlabelled_weight * unsupervised, told

    def generator_step(self, match: Match, real: Batch, random: torch.Generator) -> Told:
        """One update of the generator. Returns figures of it."""
        count = match.optimisation.accumulate
        losses = (self.generator_loss(match, part, random) for part in parts(real, count))
        with match.players["discriminator"].frozen():
            told, norm = match.players["generator"].learn(losses, count)
        return {**told, "generator_gradient_norm": norm}

    def generator_loss(
        self, match: Match, real: Batch, random: torch.Generator
    ) -> tuple[Scalar, Told]:
        """How far the mean features of fakes are from those of a batch of reals."""
        fakes = self._make(match, len(real.items), random)
        of_fake = self.judge(match, fakes, random)
        with torch.no_grad():
            of_real = self.judge(match, real.items, random)
        loss = distance(of_real.features, of_fake.features)
        return loss, {"generator_loss": loss}

    def judge(self, match: Match, items: Items, random: torch.Generator) -> Verdict:
        """What the discriminator says of augmented items."""
        seen = self.augmentation(items, random)
        with match.precision():
            verdict: Verdict = match.discriminator(seen, None)
        return verdict.float()

    def logits(
        self, match: Match, items: Items, labels: Labels | None, random: torch.Generator
    ) -> Logits:
        """One logit for each item."""
        return self.judge(match, items, random).logits

    def _make(self, match: Match, count: int, random: torch.Generator) -> Items:
        latents = self.latent.draw(count, random)
        with match.precision():
            items: Tensor = match.generator(latents, None)
        return items.float()


def supervised_loss(classes: Tensor, labels: Labels | None) -> Scalar:
    """-l_y + logsumexp l of logits [batch, classes], mean over the batch."""
    assert labels is not None, "labelled items have labels"
    return cross_entropy(classes, labels)


def unsupervised_loss(real: Logits, fake: Logits) -> Scalar:
    """-1/2 log D(x) - 1/2 log(1 - D(G(z))), mean over the batch; D is the logits' sigmoid."""
    return (softplus(-real).mean() + softplus(fake).mean()) / 2
