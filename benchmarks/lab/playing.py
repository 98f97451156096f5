"""A recipe, played without a service: so many steps, or as many as a time allows."""

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks.lab.options import Budget
from ganmodels.config import TrainConfig
from ganmodels.data.batches import Deck, Draw
from ganmodels.data.packed import PackedDataset
from ganmodels.dealing import deal
from ganmodels.games.match import Match
from ganmodels.labels import Clusters
from ganmodels.merging import settings
from ganmodels.sampling import Sampler
from ganmodels.spaces import Space
from ganmodels.validity import check
from worker.engine import autocast_dtype, choose_device, describe

_WARM_UP_STEPS = 5
_PACE_SECONDS = 5.0
_FINITE_EVERY = 500
_SAMPLED_AT_ONCE = 100


class Played(NamedTuple):
    """A match that was played to its end, and what it took."""

    config: TrainConfig
    match: Match
    clusters: Clusters | None
    steps: int
    seconds: float

    @property
    def images(self) -> int:
        """Real items that the discriminator saw."""
        return self.match.images_seen

    def sampler(self) -> Sampler:
        """What users would sample from: the averaged generator."""
        match = self.match
        return Sampler(
            match.game,
            match.space,
            match.average,
            self.clusters,
            match.device,
            batch_sizes=(_SAMPLED_AT_ONCE,),
        )

    def facts(self) -> dict[str, Any]:
        """What a record says of the training."""
        return {
            "steps": self.steps,
            "images": self.images,
            "batch_size": self.config.optimisation.batch_size,
            "training_seconds": round(self.seconds, 1),
        }


class Task(NamedTuple):
    """What is to be played: a recipe with changes on a dataset.

    ``space`` and ``real`` are given where batches are not simply the dataset's items; ``real``
    makes the function that draws them of (batch size, seed, device). ``source`` is what games are
    given that translate.
    """

    recipe: str
    changes: dict[str, Any]
    data: PackedDataset
    space: Space | None = None
    real: Callable[[int, int, torch.device], Draw] | None = None
    source: PackedDataset | None = None

    def config(self, seed: int, steps: int) -> TrainConfig:
        """The checked configuration.

        Raises:
            InvalidConfig: where it would not train.
        """
        changes = {**self.changes, "steps": steps, "seed": seed}
        space = self.space or self.data.manifest.space
        resolved: dict[str, Any] = settings(self.recipe, changes, len(self.data.training_indices))
        resolved |= {"dataset": self.data.manifest.id, "space": space.model_dump(mode="json")}
        if self.source:
            manifest = self.source.manifest
            named = {"dataset": manifest.id, "space": manifest.space.model_dump(mode="json")}
            resolved["source"] = named
        config = TrainConfig.model_validate_json(json.dumps(resolved))
        check(config)
        return config


class Seat(NamedTuple):
    """A match about to begin, and its batches."""

    config: TrainConfig
    match: Match
    deck: Deck
    clusters: Clusters | None


def play(
    task: Task,
    seed: int,
    budget: Budget,
    watch: Callable[[Played], object] | None = None,
    looks: int = 1,
) -> Played:
    """Play a match from its first step to its last.

    Where the budget is in minutes, the pace is measured first on a match of its own, so that the
    decay of the learning rate ends in time; what is played depends on the number of steps alone.
    ``watch`` is shown the match ``looks`` times at even distances, the last time at its end;
    its time does not count.

    Raises:
        ArithmeticError: at a value that is not finite.
    """
    steps = budget.steps or _steps_in(task, seed, budget.minutes * 60)
    seat = _seat(task, seed, steps)
    seconds = 0.0
    for look in range(1, looks + 1):
        began = time.monotonic()
        _play_to(seat, steps * look // looks)
        seconds += time.monotonic() - began
        played = Played(seat.config, seat.match, seat.clusters, seat.match.step, seconds)
        if watch:
            watch(played)
    return played


def _steps_in(task: Task, seed: int, seconds: float) -> int:
    """How many steps fit into a time, by the pace of the first ones."""
    seat = _seat(task, seed, steps=10**6)
    _play_to(seat, _WARM_UP_STEPS)
    began = time.monotonic()
    while (spent := time.monotonic() - began) < min(_PACE_SECONDS, seconds / 4):
        _play_to(seat, seat.match.step + 1)
    return max(1, int(seconds * (seat.match.step - _WARM_UP_STEPS) / spent))


def _seat(task: Task, seed: int, steps: int) -> Seat:
    config = task.config(seed, steps)
    device = choose_device("auto")
    precision = autocast_dtype(describe(config, device, None))
    match = Match(config, device, precision)
    batch_size = config.optimisation.batch_size
    if task.real:
        return Seat(config, match, Deck(task.real(batch_size, seed, device)), None)
    clusters = config.game.labels.fit(task.data.items[task.data.training_indices], seed)
    return Seat(config, match, deal(config, task.data, task.source, clusters, device), clusters)


def _play_to(seat: Seat, steps: int) -> None:
    match = seat.match
    while match.step < steps:
        match.play(seat.deck)
        if match.step % _FINITE_EVERY == 0 and (bad := match.first_bad()):
            raise ArithmeticError(f"{bad.cause} is not finite at step {bad.step}")
