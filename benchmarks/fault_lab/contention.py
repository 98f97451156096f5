"""Two processes begin to train one job at the same moment: exactly one may."""

import os
import random
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.fault_lab.ledger import has_gap, ran_twice
from benchmarks.fault_lab.local_jobs import fork, new_job, succeeded, train_here
from benchmarks.fault_lab.report import Report, exactly
from benchmarks.fault_lab.service import new_home
from benchmarks.fault_lab.task import tiny
from worker.store import Store
from worker.store.job import Job

_STEPS, _MOST_APART_SECONDS = 20, 0.005


class _Trial(NamedTuple):
    trained_once: bool
    duplicated: bool
    both_ended_well: bool
    gap: bool


def contention(trials: int, seed: int) -> Report:
    """Half of the trials begin at once, half up to 5 ms apart."""
    chance = random.Random(f"two-workers/{seed}")
    with new_home() as home:
        made = [_trial(home, chance, at_once=number % 2 == 0) for number in range(trials)]
    once, duplicated = sum(t.trained_once for t in made), sum(t.duplicated for t in made)
    return Report(
        fault="two workers begin one job together",
        trials=trials,
        seed=seed,
        lost=sum(not (trial.trained_once or trial.duplicated) for trial in made),
        duplicated=duplicated,
        figures=(
            exactly("trained by exactly one", once, trials),
            exactly("both processes ended well", sum(t.both_ended_well for t in made), trials),
            exactly("gaps in events", sum(trial.gap for trial in made), 0),
        ),
    )


def _trial(home: Path, chance: random.Random, at_once: bool) -> _Trial:
    store = Store(home)
    job = new_job(store, tiny(_STEPS, chance.randrange(2**31)))
    delays = [0.0, 0.0 if at_once else chance.uniform(0, _MOST_APART_SECONDS)]
    gate, signal = os.pipe()
    children = [fork(partial(_wait_and_train, store, job, gate, signal, delay)) for delay in delays]
    os.close(gate)
    # Both have waited for this.
    os.close(signal)
    ended = [succeeded(child) for child in children]
    record = job.record()
    once = (record.status, record.attempt, len(job.epochs())) == ("succeeded", 1, 1)
    return _Trial(once and not ran_twice(job), ran_twice(job), all(ended), has_gap(job))


def _wait_and_train(store: Store, job: Job, gate: int, signal: int, delay: float) -> None:
    os.close(signal)
    os.read(gate, 1)
    time.sleep(delay)
    train_here(store, job)
