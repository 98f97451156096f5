"""Sections that go through the service: what a worker adds to a step, and to a start."""

import subprocess
import sys
from datetime import datetime

from benchmarks.lab.rounds import Contender, Measured, Rounds, play
from benchmarks.lab.verdicts import Outcome, at_least, at_most
from benchmarks.running import Service, running_service
from benchmarks.training_lab.options import Lab

_BARE, _WORKER = "bare loop", "through the worker"
_STEPS, _FEW_STEPS = 1_500, 20


def worker(lab: Lab) -> list[Outcome]:
    """Events, metrics, previews, calibration, checkpoints and referee on, against the step alone.

    The networks of this recipe are small, which is where the rest weighs most.
    """
    with running_service() as service:
        contenders = [Contender(_BARE, _bare), Contender(_WORKER, lambda _: _trained(service))]
        rounds = play(contenders, lab.options.rounds, lab.options.seconds, lab.console)
    verdict = at_least("worker / bare loop", 0.95, rounds.ratio(_WORKER, _BARE))
    what = "images a second of cgan on digits of 16x16, batch 32"
    return [Outcome("worker", what, rounds, [verdict], [f"{_STEPS:,} steps a turn"])]


def _bare(_: float) -> Measured:
    command = [sys.executable, "-m", "benchmarks.bare_loop"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Measured(float(told))


def _trained(service: Service) -> Measured:
    """Images a second between the first reading of metrics and the last."""
    job, _ = service.train(dataset="digits", recipe="cgan", steps=_STEPS, seed=0)
    images, times = service.metrics(job, "images_seen"), _read_times(service, job)
    return Measured((images[-1] - images[0]) / (times[-1] - times[0]))


def second(lab: Lab) -> list[Outcome]:
    """From the start of a job to its first step, on a worker that has trained another."""
    with running_service() as service:
        _start_seconds(service, 0)
        found = [_start_seconds(service, seed) for seed in range(1, lab.options.rounds + 1)]
    names = ("asked for to first step", "started to first step")
    columns = zip(*found, strict=True)
    measured = {
        name: [Measured(1 / seconds, 1000 * seconds) for seconds in column]
        for name, column in zip(names, columns, strict=True)
    }
    rounds = Rounds(measured)
    verdicts = [at_most(name, 1.5, rounds.p50_ms(name) / 1000, " s") for name in names]
    return [Outcome("second job", "cgan on digits; starts a second", rounds, verdicts)]


def _start_seconds(service: Service, seed: int) -> tuple[float, float]:
    """From the request, and from the start of the training, to the end of the first step."""
    job, _ = service.train(
        dataset="digits", recipe="cgan", steps=_FEW_STEPS, seed=seed, schedule={"metrics_every": 1}
    )
    record = service.client.get(f"/jobs/{job}").json()
    created, started = (_seconds(record[key]) for key in ("created_at", "started_at"))
    first = _read_times(service, job)[0]
    return first - created, first - started


def _read_times(service: Service, job: str) -> list[float]:
    """When each row of metrics was written, in seconds since 1970."""
    return [_seconds(text) for text in service.times(job)]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
