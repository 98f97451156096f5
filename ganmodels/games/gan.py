"""The GAN game: a generator and a discriminator take turns.

``discriminator_step`` and ``generator_step`` hold the whole procedure; read them first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from ganmodels.augment import Augmentation, NoAugmentation
from ganmodels.conditioning import Conditioning, Unconditional
from ganmodels.data.batches import Batch, stream
from ganmodels.labels import GivenLabels, LabelSource
from ganmodels.latents import Latent
from ganmodels.networks import Dcgan, Network
from ganmodels.networks.blocks import untraced
from ganmodels.objectives import NonSaturating, Objective
from ganmodels.optimisation import Optimisation, WeightAverage
from ganmodels.penalties import Judged, Penalty
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec
from ganmodels.types import Items, Labels, Latents, Logits, Scalar

METRICS = (
    "discriminator_loss",
    "generator_loss",
    "penalty",
    "real_logit",
    "fake_logit",
    "discriminator_gradient_norm",
    "generator_gradient_norm",
)


class Gan(Spec):
    """One generator against one discriminator, on one dataset."""

    kind: Literal["gan"] = "gan"
    latent: Latent = Latent()
    network: Network = Dcgan()
    conditioning: Conditioning = Unconditional()
    objective: Objective = NonSaturating()
    penalties: tuple[Penalty, ...] = Field(default=(), max_length=3)
    labels: LabelSource = GivenLabels()
    augmentation: Augmentation = NoAugmentation()
    discriminator_steps: int = Field(default=1, ge=1, le=20)

    @property
    def draws_per_step(self) -> int:
        """Batches of real items that one step takes; a paired objective shows G fresh ones."""
        return self.discriminator_steps + self.objective.paired

    @property
    def conditional(self) -> bool:
        """Whether users can ask for a label."""
        return self.conditioning.needs_labels and self.labels.given

    def generator(self, space: Space) -> nn.Module:
        """A new generator: (latents, labels) to items."""
        classes = self.labels.classes(space)
        return self.network.generator(self.latent.width, space, self.conditioning, classes)

    def discriminator(self, space: Space) -> nn.Module:
        """A new discriminator: (items, labels) to logits."""
        return self.network.discriminator(space, self.conditioning, self.labels.classes(space))

    def restore(
        self,
        space: Space,
        generator: Mapping[str, Tensor],
        discriminator: Mapping[str, Tensor],
    ) -> tuple[nn.Module, nn.Module]:
        """Both networks with these weights, which are taken over rather than copied."""
        # Nothing is drawn for first values that would be overwritten.
        with torch.device("meta"):
            networks = self.generator(space), self.discriminator(space)
        for network, weights in zip(networks, (generator, discriminator), strict=True):
            network.load_state_dict(weights, assign=True)
            network.eval()
        return networks


class State(NamedTuple):
    """Everything a match needs to go on as if it had never stopped."""

    tensors: dict[str, Tensor]
    step: int


class Bad(NamedTuple):
    """The first step at which a measured value was not finite, and the value's name."""

    step: int
    cause: str


class Measured(NamedTuple):
    """Means over the steps since the last reading, and what was not finite, if anything."""

    means: dict[str, float]
    bad: Bad | None

    @property
    def first_bad_step(self) -> int | None:
        """The first step that was not finite."""
        return None if self.bad is None else self.bad.step


class Match:
    """A game being played: networks, their averages, optimisers and the step counter.

    Every draw is a function of (seed, step), so the state holds no random-number generator.
    """

    def __init__(
        self,
        game: Gan,
        space: Space,
        optimisation: Optimisation,
        total_steps: int,
        seed: int,
        device: torch.device,
        autocast: torch.dtype | None = None,
    ) -> None:
        self.game, self.space, self.optimisation = game, space, optimisation
        self.total_steps, self.seed, self.device = total_steps, seed, device
        self.autocast = autocast
        self.step = 0
        self.generator, self.discriminator = _networks(game, space, seed, device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.average_discriminator = copy.deepcopy(self.discriminator).requires_grad_(False).eval()
        self._averaging = WeightAverage(self.average, self.generator)
        self._averaging_discriminator = WeightAverage(
            self.average_discriminator, self.discriminator
        )
        self.generator_optimiser = optimisation.generator.build(self.generator.parameters())
        self.discriminator_optimiser = optimisation.discriminator.build(
            self.discriminator.parameters()
        )
        self._random = torch.Generator(device)
        self._sums = torch.zeros(len(METRICS), device=device)
        self._summed = torch.zeros((), device=device)
        self._bad = torch.full((2,), -1, dtype=torch.int64, device=device)

    @property
    def images_seen(self) -> int:
        """Real items shown to the discriminator so far."""
        return self.step * self.game.discriminator_steps * self.optimisation.batch_size

    def play(self, draw: Callable[[int], Batch]) -> None:
        """One step: the discriminator's turns, the generator's turn, the average.

        ``draw(d)`` is batch number d of real items.
        """
        self._set_learning_rates()
        random = stream(self.seed, "step", self.step, self._random)
        first = self.step * self.game.draws_per_step
        for turn in range(self.game.discriminator_steps):
            real = draw(first + turn)
            judged = self.discriminator_step(real, random)
        if self.game.objective.paired:
            real = draw(first + self.game.discriminator_steps)
        lost = self.generator_step(real, random)
        self.step += 1
        self._follow()
        self._record(torch.stack([judged[0], lost[0], *judged[1:], lost[1]]))

    def discriminator_step(
        self, real: Batch, random: torch.Generator
    ) -> tuple[Scalar, Scalar, Scalar, Scalar, Scalar]:
        """One update of the discriminator.

        Returns its loss, the penalty in it, the mean logits of reals and fakes and the norm
        of the gradient.
        """
        due = [p for p in self.game.penalties if self.step % p.every == 0]
        with torch.no_grad():
            fake = self._generate(real.labels, len(real.items), random)
        real_items = real.items.requires_grad_(bool(due))
        fake = fake.requires_grad_(bool(due))
        real_logits = self._judge(real_items, real.labels, random)
        fake_logits = self._judge(fake, real.labels, random)
        loss = self.game.objective.discriminator_loss(real_logits, fake_logits)

        def critic(items: Items) -> Logits:
            return self._judge(items, real.labels, random)

        judged = Judged(real_items, fake, real_logits, fake_logits, critic, random)
        penalty = torch.zeros_like(loss)
        for term in due:
            penalty = penalty + term(judged)
        norm = _update(self.discriminator, self.discriminator_optimiser, loss + penalty)
        detached = (loss, penalty, real_logits.mean(), fake_logits.mean(), norm)
        return tuple(value.detach() for value in detached)  # type: ignore[return-value]

    def generator_step(self, real: Batch, random: torch.Generator) -> tuple[Scalar, Scalar]:
        """One update of the generator. Returns its loss and the norm of the gradient."""
        # Frozen, the discriminator passes gradients on without computing its own: a tenth saved.
        self.discriminator.requires_grad_(False)
        fake = self._generate(real.labels, len(real.items), random)
        fake_logits = self._judge(fake, real.labels, random)
        real_logits = None
        if self.game.objective.paired:
            with torch.no_grad():
                real_logits = self._judge(real.items, real.labels, random)
        loss = self.game.objective.generator_loss(real_logits, fake_logits)
        norm = _update(self.generator, self.generator_optimiser, loss)
        self.discriminator.requires_grad_(True)
        return loss.detach(), norm

    @torch.no_grad()
    def show(self, latents: Latents, labels: Labels | None) -> Items:
        """What the generator makes of latents now, as the networks see items."""
        with untraced(self.generator), self._precision():
            items: Tensor = self.generator(latents, labels)
        return items.float()

    @torch.no_grad()
    def judge(self, items: Items, labels: Labels | None, random: torch.Generator) -> Logits:
        """What the discriminator thinks of items now, augmented as those that it learns from."""
        with untraced(self.discriminator):
            return self._judge(items, labels, random)

    def read_metrics(self) -> Measured:
        """Means since the last reading. This is the only place that waits for the device."""
        bad = self.first_bad()
        means = (self._sums / self._summed).tolist()
        self._sums.zero_()
        self._summed.zero_()
        return Measured(dict(zip(METRICS, means, strict=True)), bad)

    def first_bad(self) -> Bad | None:
        """The first value that was not finite; it stays known for the rest of the match."""
        step, entry = self._bad.tolist()
        return None if step < 0 else Bad(step, METRICS[entry])

    def state(self) -> State:
        """The whole state; tensors are the live ones, not copies."""
        tensors = {"metric_sums": self._sums, "metric_count": self._summed}
        for name, network in self._networks_by_name().items():
            tensors |= {f"{name}/{key}": value for key, value in network.state_dict().items()}
        for name, optimiser in self._optimisers_by_name().items():
            tensors |= {f"{name}/{key}": value for key, value in _optimiser_state(optimiser)}
        return State(tensors, self.step)

    def load(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: when the state lacks a tensor or has one too many.
        """
        self.step = state.step
        if state.step:
            # Adam makes its moments at the first update; they must exist to be filled.
            for optimiser in self._optimisers_by_name().values():
                _create_moments(optimiser)
        mine = self.state().tensors
        if mine.keys() != state.tensors.keys():
            odd = sorted(mine.keys() ^ state.tensors.keys())
            raise ValueError(f"the state does not fit the match: {', '.join(odd[:5])}")
        with torch.no_grad():
            for key, tensor in mine.items():
                tensor.copy_(state.tensors[key])

    def _networks_by_name(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "average_discriminator": self.average_discriminator,
        }

    def _optimisers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        return {
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    def _set_learning_rates(self) -> None:
        factor = self.optimisation.decay.factor(self.step / self.total_steps)
        for optimiser, spec in (
            (self.generator_optimiser, self.optimisation.generator),
            (self.discriminator_optimiser, self.optimisation.discriminator),
        ):
            optimiser.param_groups[0]["lr"] = spec.learning_rate * factor

    def _follow(self) -> None:
        """Let both averages follow what was learned in this step."""
        optimisation = self.optimisation
        images = self.game.discriminator_steps * optimisation.batch_size
        self._averaging.update(optimisation.average.retention(self.step, images))
        self._averaging_discriminator.update(
            optimisation.discriminator_average.retention(self.step, images)
        )

    def _generate(self, labels: Labels | None, count: int, random: torch.Generator) -> Items:
        latents = self.game.latent.draw(count, random)
        with self._precision():
            items: Tensor = self.generator(latents, labels)
        return items.float()

    def _judge(self, items: Items, labels: Labels | None, random: torch.Generator) -> Logits:
        with self._precision():
            logits: Tensor = self.discriminator(self.game.augmentation(items, random), labels)
        return logits.float()

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None
        )

    def _record(self, values: Tensor) -> None:
        self._sums += values
        self._summed += 1
        # Kept on the device, so that no step waits for it.
        wrong = ~values.isfinite()
        place = torch.stack([torch.full_like(self._bad[0], self.step), wrong.int().argmax()])
        self._bad = torch.where(wrong.any() & (self._bad[0] < 0), place, self._bad)


def _networks(
    game: Gan, space: Space, seed: int, device: torch.device
) -> tuple[nn.Module, nn.Module]:
    """Both networks with weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = game.generator(space), game.discriminator(space)
    layout = torch.channels_last if isinstance(space, ImageSpace) else torch.preserve_format
    return (
        generator.to(device, memory_format=layout),  # type: ignore[call-overload]
        discriminator.to(device, memory_format=layout),  # type: ignore[call-overload]
    )


def _update(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Scalar) -> Scalar:
    """Descend the loss once. Returns the gradient's norm over all weights."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norm = get_total_norm(gradients)
    optimiser.step()
    return norm


def _create_moments(optimiser: torch.optim.Optimizer) -> None:
    for parameter in optimiser.param_groups[0]["params"]:
        optimiser.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }


def _optimiser_state(optimiser: torch.optim.Optimizer) -> list[tuple[str, Any]]:
    return [
        (f"{index}/{key}", value)
        for index, parameter in enumerate(optimiser.param_groups[0]["params"])
        for key, value in optimiser.state.get(parameter, {}).items()
    ]
