"""A recipe played on a known density without a service, and samples of its averaged generator."""

import json
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.modes_lab.densities import Points
from benchmarks.referee_lab.datasets import dataset
from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.games.match import Match
from ganmodels.recipes import settings
from ganmodels.sampling import Sampler

CPU = torch.device("cpu")
SAMPLES = 2_500
# Latents of the evaluation are named by a seed of their own; training draws from other streams.
SAMPLE_SEED = 20_171_213
_PACE_STEPS = 200


class Played(NamedTuple):
    """Samples [2500, 2] in the density's own units, and what the training took.

    ``cpu_seconds`` count this process alone; where others compute too, ``wall_seconds`` are more.
    """

    points: Points
    steps: int
    cpu_seconds: float
    wall_seconds: float


def play(recipe: str, density: str, seed: int, minutes: float | None) -> Played:
    """Train a recipe as shipped; with ``minutes``, for fewer steps where they would not suffice."""
    steps = _config(recipe, density, seed, {}).schedule.steps
    if minutes is not None:
        steps = min(steps, _steps_within(recipe, density, seed, 60 * minutes))
    config = _config(recipe, density, seed, {"steps": steps})
    match, deck = _seat(config, density)
    began, cpu_began = time.monotonic(), time.process_time()
    while match.step < steps:
        match.play(deck)
    took = (time.process_time() - cpu_began, time.monotonic() - began)
    return Played(_drawn(config, match), steps, *took)


def training_points(density: str) -> Points:
    """The points that a recipe learns from."""
    data = _dataset(density)
    return np.asarray(data.items[data.training_indices], np.float64)


def _steps_within(recipe: str, density: str, seed: int, seconds: float) -> int:
    """How many steps fit into so many seconds, by the pace of the first ones."""
    match, deck = _seat(_config(recipe, density, seed, {}), density)
    began = time.monotonic()
    for _ in range(_PACE_STEPS):
        match.play(deck)
    return max(1, int(seconds * _PACE_STEPS / (time.monotonic() - began)))


def _drawn(config: TrainConfig, match: Match) -> Points:
    sampler = Sampler(config.game, config.space, match.average, batch_size=SAMPLES)
    latents = sampler.latents(SAMPLE_SEED, 0, SAMPLES)
    return sampler.draw(latents, sampler.labels(SAMPLE_SEED, 0, SAMPLES)).astype(np.float64)


def _config(recipe: str, density: str, seed: int, changes: dict[str, Any]) -> TrainConfig:
    data = _dataset(density)
    resolved = settings(recipe, {**changes, "seed": seed}, len(data.training_indices))
    resolved |= {"dataset": data.manifest.id, "space": data.manifest.space.model_dump(mode="json")}
    return TrainConfig.model_validate_json(json.dumps(resolved))


def _seat(config: TrainConfig, density: str) -> tuple[Match, Deck]:
    data, size = _dataset(density), config.optimisation.batch_size
    items = data.items[data.training_indices]
    batches = Batches(items, None, config.space, size, config.seed, CPU)
    return Match(config, CPU), Deck(batches.at)


def _dataset(density: str):
    data = dataset(density)
    assert data is not None, "the densities are built in"
    return data
