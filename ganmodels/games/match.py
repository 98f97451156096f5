"""A match: a game being played. What all games share is here; the moves are the game's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ganmodels.data.batches import Deck, stream
from ganmodels.games.player import Player, Told
from ganmodels.networks.blocks import untraced
from ganmodels.networks.discriminator import Discriminator
from ganmodels.networks.noise import listen
from ganmodels.networks.shared_norm import share_norms
from ganmodels.several import ALONE, Group, Order
from ganmodels.shapes import shapes_only
from ganmodels.spaces import ImageSpace
from ganmodels.starting import Weights, adopt, freeze
from ganmodels.types import Items, Labels, Logits

if TYPE_CHECKING:
    from ganmodels.config import TrainConfig

AVERAGE, OPTIMISER = "_average", "_optimiser"


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


class Memory(Protocol):
    """What a game remembers beside its networks, such as a pool of fakes."""

    def tensors(self) -> Mapping[str, Tensor]:
        """The live tensors by name; they keep their shapes."""


class Match:
    """A game being played: its players, what it remembers, and the step counter.

    Every draw is a function of (seed, step), so the state holds no random-number generator.
    Each game has a player called generator and one called discriminator. Each process of a
    ``group`` has the match whole and plays its share of the batches.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        autocast: torch.dtype | None = None,
        group: Group = ALONE,
    ) -> None:
        self.config, self.device, self.autocast, self.group = config, device, autocast, group
        self.game, self.space, self.optimisation = config.game, config.space, config.optimisation
        self.total_steps, self.seed = config.schedule.steps, config.seed
        self.step = 0
        self._random = group.generator(device)
        self.players = {
            name: self._player(name, network) for name, network in self._networks().items()
        }
        self.memories: Mapping[str, Memory] = config.game.memories(self)
        # Whoever makes them otherwise, such as from a recording, makes the same ones.
        self.moves: Callable[[Deck, torch.Generator], Told] = partial(config.game.step, self)
        self._names = config.game.metrics
        # Of so many digits that means do not show where a stop has averaged them over processes.
        self._sums = torch.zeros(len(self._names), dtype=torch.float64, device=device)
        self._summed = torch.zeros((), device=device)
        self._bad = torch.full((2,), -1, dtype=torch.int64, device=device)

    @property
    def generator(self) -> nn.Module:
        """The network that makes items."""
        return self.players["generator"].network

    @property
    def discriminator(self) -> nn.Module:
        """The network that judges items."""
        return self.players["discriminator"].network

    @property
    def average(self) -> nn.Module:
        """The generator that users sample from."""
        return self.players["generator"].average

    @property
    def average_discriminator(self) -> nn.Module:
        """The discriminator that users score by."""
        return self.players["discriminator"].average

    @property
    def images_per_step(self) -> int:
        """Real items shown to the discriminator in one step."""
        return self.game.discriminator_steps * self.optimisation.batch_size

    @property
    def images_seen(self) -> int:
        """Real items shown to the discriminator so far."""
        return self.step * self.images_per_step

    @property
    def settled(self) -> float:
        """How far the burn-in has come, from 0 to 1."""
        return self.optimisation.settled(self.images_seen)

    def play(self, deck: Deck) -> None:
        """One step: the game's moves, then every average follows."""
        self.group.tell(Order.PLAY)
        settled = self.settled
        factor = self.optimisation.decay.factor(self.step / self.total_steps, settled)
        for player in self.players.values():
            player.adjust(self.step, factor, settled)
        random = stream(self.seed, "step", self.step, self._random)
        measured = self.moves(deck, random)
        self.step += 1
        for player in self.players.values():
            player.follow(self.step, self.images_per_step)
        self._record(torch.stack([measured[name] for name in self._names]))

    @torch.no_grad()
    def show(self, inputs: Tensor, labels: Labels | None) -> Items:
        """What the generator makes of its inputs now, as the networks see items."""
        with untraced(self.generator), self.precision():
            items: Tensor = self.generator(inputs, labels)
        return items.float()

    @torch.no_grad()
    def judge(self, items: Items, labels: Labels | None, random: torch.Generator) -> Logits:
        """What the discriminator thinks of items now, augmented as those that it learns from."""
        with untraced(self.discriminator):
            return self.game.logits(self, items, labels, random)

    def precision(self) -> torch.autocast:
        """Forward passes run in it."""
        return torch.autocast(
            self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None
        )

    def read_metrics(self) -> Measured:
        """Means since the last reading. This is the only place that waits for the device."""
        self.group.tell(Order.READ)
        self._agree()
        bad = self.first_bad()
        means = (self._sums / self._summed).float().tolist()
        self._sums.zero_()
        self._summed.zero_()
        return Measured(dict(zip(self._names, means, strict=True)), bad)

    def agree(self) -> None:
        """Make what was measured that of all processes, so that one state speaks for all."""
        self.group.tell(Order.AGREE)
        self._agree()

    def first_bad(self) -> Bad | None:
        """The first value that was not finite; it stays known for the rest of the match."""
        step, entry = self._bad.tolist()
        return None if step < 0 else Bad(step, self._names[entry])

    def adopt(self, weights: Weights) -> None:
        """Start from the weights of another training, by player and name, where they fit."""
        for name, player in self.players.items():
            for network in (player.network, player.average):
                adopt(network, weights.get(name, {}))
        # What is remembered of weights begins with these, not with the random ones.
        self.memories = self.game.memories(self)

    def state(self) -> State:
        """The whole state; tensors are the live ones, not copies."""
        tensors = {"metric_sums": self._sums, "metric_count": self._summed}
        for name, player in self.players.items():
            owned = {
                name: player.network.state_dict(),
                name + AVERAGE: player.average.state_dict(),
                name + OPTIMISER: player.moments(),
            }
            tensors |= _named(owned)
        tensors |= _named({name: memory.tensors() for name, memory in self.memories.items()})
        return State(tensors, self.step)

    def load(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: when the state lacks a tensor or has one too many.
        """
        self.step = state.step
        for name, player in self.players.items():
            # A player who has had no turn yet has no moments.
            if any(key.startswith(f"{name}{OPTIMISER}/") for key in state.tensors):
                player.create_moments()
        mine = self.state().tensors
        if mine.keys() != state.tensors.keys():
            odd = sorted(mine.keys() ^ state.tensors.keys())
            raise ValueError(f"the state does not fit the match: {', '.join(odd[:5])}")
        with torch.no_grad():
            for key, tensor in mine.items():
                tensor.copy_(state.tensors[key])

    def _networks(self) -> dict[str, nn.Module]:
        """All networks with weights that depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            networks = self.game.networks(self.config)
        layout = (
            torch.channels_last if isinstance(self.space, ImageSpace) else torch.preserve_format
        )
        return {
            name: network.to(self.device, memory_format=layout)  # type: ignore[call-overload]
            for name, network in networks.items()
        }

    def _player(self, name: str, network: nn.Module) -> Player:
        optimisation = self.optimisation
        judges = name.endswith("discriminator")
        if judges and self.config.start:
            freeze(network, self.config.start.freeze_discriminator_layers)
        player = Player(
            network,
            optimisation.discriminator if judges else optimisation.generator,
            optimisation.discriminator_average if judges else optimisation.average,
            self.group,
        )
        # After the copy: neither generators of random numbers nor groups can be copied.
        listen(network, self._random)
        share_norms(network, self.group)
        return player

    def _agree(self) -> None:
        if self.group.size == 1:
            return
        self.group.average([self._sums])
        bad = self.group.rows(self._bad)
        steps = torch.where(bad[:, 0] < 0, torch.iinfo(bad.dtype).max, bad[:, 0])
        self._bad.copy_(bad[steps.argmin()])

    def _record(self, values: Tensor) -> None:
        self._sums += values
        self._summed += 1
        # Kept on the device, so that no step waits for it.
        wrong = ~values.isfinite()
        place = torch.stack([torch.full_like(self._bad[0], self.step), wrong.int().argmax()])
        self._bad = torch.where(wrong.any() & (self._bad[0] < 0), place, self._bad)


def restore(
    config: TrainConfig, weights: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, nn.Module]:
    """Networks by name, ready to be used, with weights that are taken over rather than copied."""
    with shapes_only():
        made = config.game.networks(config)
    for name, network in made.items():
        network.load_state_dict(weights[name], assign=True)
        network.eval()
    return made


def restore_pair(
    config: TrainConfig, weights: Mapping[str, Mapping[str, Tensor]]
) -> tuple[nn.Module, Discriminator]:
    """The generator and the discriminator of ``restore``."""
    networks = restore(config, weights)
    discriminator = networks["discriminator"]
    assert isinstance(discriminator, Discriminator)
    return networks["generator"], discriminator


def _named(owned: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {
        f"{owner}/{key}": tensor for owner, held in owned.items() for key, tensor in held.items()
    }
