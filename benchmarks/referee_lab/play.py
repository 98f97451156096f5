"""A planted match, played without a service: what the referee says at which step."""

import json
import time
from typing import Any, NamedTuple

import torch

from benchmarks.referee_lab.datasets import dataset
from benchmarks.referee_lab.planted import Planted
from ganmodels.config import TrainConfig
from ganmodels.data.batches import Batches, Deck
from ganmodels.data.packed import PackedDataset
from ganmodels.games.match import Match
from ganmodels.labels import labels_of
from ganmodels.merging import settings
from ganmodels.referee.panel import Panel
from ganmodels.referee.referee import Referee
from ganmodels.referee.watcher import Watcher

CPU = torch.device("cpu")
READ_EVERY = 50
# A failure is watched a little beyond the fifth of its budget in which it is to be named.
WATCHED_SHARE = 0.3


class Course(NamedTuple):
    """What was said of one match: each name and the first step at which it was given.

    ``readings`` at which anything was named, of all; ``verdict`` is the one at the first of them.
    """

    named: dict[str, int]
    verdict: str
    alarms: int
    readings: int
    last_step: int
    seconds: float


def config_of(planted: Planted, data: PackedDataset, seed: int) -> TrainConfig:
    """The configuration of a planted match."""
    changes = {**planted.changes, "steps": planted.budget, "seed": seed}
    resolved: dict[str, Any] = settings(planted.recipe, changes, len(data.training_indices))
    resolved |= {
        "dataset": data.manifest.id,
        "space": data.manifest.space.model_dump(mode="json"),
    }
    return TrainConfig.model_validate_json(json.dumps(resolved))


class Setting(NamedTuple):
    """A match that is ready to be played, with its referee."""

    match: Match
    deck: Deck
    referee: Referee


def setting_of(planted: Planted, data: PackedDataset, seed: int) -> Setting:
    """Everything that a planted match needs, in float32."""
    config = config_of(planted, data, seed)
    chosen = data.training_indices
    clusters = config.game.labels.fit(data.items[chosen], seed)
    labels, size = labels_of(data, chosen, clusters), config.optimisation.batch_size
    batches = Batches(data.items[chosen], labels, config.space, size, seed, CPU)
    match = Match(config, CPU)
    if planted.sabotage:
        planted.sabotage(match)
    watcher = Watcher(Panel.choose(data, config.game), data, clusters, CPU)
    return Setting(match, Deck(batches.at), Referee(config, watcher))


def course(planted: Planted, seed: int) -> Course | None:
    """Play a match; None where its dataset is not on this machine."""
    torch.set_num_threads(1)
    data = dataset(planted.dataset)
    if data is None:
        return None
    share = WATCHED_SHARE if planted.failure else 1.0
    return _watch(*setting_of(planted, data, seed), int(share * planted.budget))


def _watch(match: Match, deck: Deck, referee: Referee, steps: int) -> Course:
    named: dict[str, int] = {}
    verdict, alarms, readings, began = "healthy", 0, 0, time.monotonic()
    while match.step < steps:
        match.play(deck)
        if match.step % READ_EVERY:
            continue
        measured = match.read_metrics()
        if measured.bad:
            named.setdefault("divergence", match.step)
            break
        reading, readings = referee.read(match, measured.means), readings + 1
        found = reading.health.diagnoses if reading.health else ()
        alarms += bool(found)
        if found and not named:
            verdict = found[0].code
        for diagnosis in found:
            named.setdefault(diagnosis.code, match.step)
    return Course(named, verdict, alarms, readings, match.step, time.monotonic() - began)
