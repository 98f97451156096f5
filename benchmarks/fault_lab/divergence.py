"""A weight becomes NaN in the middle of a training: it must never reach a checkpoint."""

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import worker.setup
from benchmarks.fault_lab.local_jobs import fork, new_job, succeeded, train_here
from benchmarks.fault_lab.report import Figure, Report, exactly
from benchmarks.fault_lab.service import new_home
from benchmarks.fault_lab.task import tiny
from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from worker.store import Store
from worker.store.checkpoints import Checkpoint
from worker.store.job import Job

_STEPS = 60
# Everything that is saved is kept, so that all of it can be looked at.
_SCHEDULE = {"metrics_every": 7, "checkpoints_every": 5, "keep_last": 100}


class _Trial(NamedTuple):
    ended_well: bool
    diverged: bool
    late_by: int | None
    committed: int
    bad: int


def divergence(trials: int, seed: int) -> Report:
    """A seeded weight of the generator at a seeded step, another one in each trial."""
    chance = random.Random(f"nan/{seed}")
    with new_home() as home:
        made = [_trial(home, chance) for _ in range(trials)]
    committed = sum(trial.committed for trial in made)
    late = sorted({str(trial.late_by) for trial in made})
    return Report(
        fault="a weight of the generator is NaN after step k",
        trials=trials,
        seed=seed,
        figures=(
            exactly("failed as diverged", sum(trial.diverged for trial in made), trials),
            exactly(f"of {committed} checkpoints not finite", sum(t.bad for t in made), 0),
            Figure(
                "step told minus k",
                ", ".join(late),
                "0 or 1",
                all(t.late_by in (0, 1) for t in made),
            ),
            exactly("processes ended well", sum(trial.ended_well for trial in made), trials),
        ),
    )


def _trial(home: Path, chance: random.Random) -> _Trial:
    store = Store(home)
    job = new_job(store, {**tiny(_STEPS), "schedule": _SCHEDULE})
    step, place = chance.randint(1, _STEPS - 1), chance.random()
    ended_well = succeeded(fork(lambda: _train_poisoned(store, job, step, place)))
    record = job.record()
    error = record.error
    told = None if error is None or error.step is None else error.step - step
    found = [checkpoint for epoch in job.epochs() for checkpoint in epoch.checkpoints()]
    return _Trial(
        ended_well=ended_well,
        diverged=record.status == "failed" and error is not None and error.code == "diverged",
        late_by=told,
        committed=len(found),
        bad=sum(not is_finite(checkpoint) for checkpoint in found),
    )


def _train_poisoned(store: Store, job: Job, step: int, place: float) -> None:
    """In a process of its own, where the fault stays."""

    class Poisoned(Match):
        def play(self, deck: Deck) -> None:
            super().play(deck)
            if self.step == step:
                weights = list(self.generator.parameters())
                with torch.no_grad():
                    weights[int(place * len(weights))].view(-1)[0] = torch.nan

    # Where the training looks for it; this process ends with the training.
    vars(worker.setup)["Match"] = Poisoned
    train_here(store, job)


def is_finite(checkpoint: Checkpoint) -> bool:
    """Whether no tensor of a checkpoint holds NaN or infinity."""
    files = (Path(entry.name) for entry in checkpoint.manifest.files)
    tensors = (
        tensor
        for file in files
        if file.suffix == ".safetensors"
        for tensor in checkpoint.tensors(file.stem).values()
    )
    # By numpy: this process must not compute with torch, because it forks.
    return all(bool(np.isfinite(tensor.numpy()).all()) for tensor in tensors)
