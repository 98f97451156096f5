"""Several processes that train one job do what one would, and end together."""

import os
import signal
import sys
import threading
import time
from functools import cache
from subprocess import Popen
from typing import NamedTuple

import pytest
import torch
from torch.distributed import TCPStore

from ganmodels.several import ALONE, Order, Several
from tests.ganmodels.builders import CPU
from tests.worker.builders import make_job, settings_for, train
from tests.worker.shared_matches import CASES, MORE_CASES, deck_of, match_of, states_are_equal
from tests.worker.test_jobs import DIVERGES, StopAt, resume
from worker.group import count_processes
from worker.jobs import train_job
from worker.losses import LOG
from worker.settings import available_cores
from worker.store import Store

STEPS, READ_EVERY = 10, 2


class Played(NamedTuple):
    """What a match came to: rows of metrics, the state, and whether all processes have it."""

    rows: list[dict[str, float]]
    state: dict[str, torch.Tensor]
    items: torch.Tensor
    is_one_state: bool


def play(group, changes) -> Played:
    match = match_of(group, changes)
    deck, rows = deck_of(match), []
    for step in range(STEPS):
        match.play(deck)
        if (step + 1) % READ_EVERY == 0:
            rows.append(match.read_metrics().means)
    group.tell(Order.STOP)
    state = {name: tensor.clone() for name, tensor in match.state().tensors.items()}
    game = match.game
    latents = game.latent.draw(16, torch.Generator().manual_seed(0))
    labels = torch.arange(16) % max(1, game.labels.classes(match.space))
    return Played(rows, state, match.show(latents, labels), states_are_equal(match))


@cache
def played(is_usual: bool) -> dict[str, tuple[Played, Played]]:
    """Cases, by two processes and alone: two processes are started once, which takes long."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    cases = CASES if is_usual else MORE_CASES
    store = TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    command = [sys.executable, "-m", "tests.worker.follower", str(store.port), *cases]
    with Popen(command) as follower:
        group = Several.join(store, 0, 2, CPU)
        together = {name: play(group, changes) for name, changes in cases.items()}
        assert follower.wait(60) == 0
        group.leave()
    return {name: (together[name], play(ALONE, changes)) for name, changes in cases.items()}


every_case = pytest.mark.parametrize(
    "case", [*CASES, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_CASES)]
)


@every_case
def test_two_processes_have_the_losses_of_one_with_the_same_batch(case):
    together, alone = played(is_usual=case in CASES)[case]
    for shared, whole in zip(together.rows, alone.rows, strict=True):
        assert shared == pytest.approx(whole, rel=1e-3, abs=1e-4)


@every_case
def test_two_processes_learn_the_generator_that_one_learns(case):
    together, alone = played(is_usual=case in CASES)[case]
    assert together.state.keys() == alone.state.keys()
    assert torch.allclose(together.items, alone.items, atol=1e-3)


@every_case
def test_all_processes_have_the_same_bits(case):
    together, _ = played(is_usual=case in CASES)[case]
    assert together.is_one_state


def test_batch_statistics_are_those_of_the_whole_batch():
    together, alone = played(is_usual=True)["cgan"]
    # Means are moved by biases that come before, which a norm makes without effect.
    names = [name for name in alone.state if "running_var" in name]
    assert names
    for name in names:
        assert torch.allclose(together.state[name], alone.state[name], rtol=1e-3, atol=1e-4)


def rows_of(job):
    kept = ("step", "discriminator_loss", "generator_loss", "real_logit")
    return [{name: row[name] for name in kept} for row in job.metrics()]


def cores(monkeypatch, count: int) -> None:
    monkeypatch.setattr("worker.group.available_cores", lambda: count)


@pytest.mark.slow
def test_a_job_goes_on_with_another_number_of_processes_as_if_nothing_was(store, home, monkeypatch):
    changes = {"schedule": {"steps": 12, "metrics_every": 2, "checkpoints_every": 3}}
    alone = make_job(store, "cgan", **changes)
    train(alone, home)
    job = make_job(store, "cgan", gpus=2, **changes)
    cores(monkeypatch, 1)
    train(job, home, StopAt(job, 2, "pause"))
    paused = job.record()
    assert (paused.status, paused.exact) == ("paused", False)
    assert 2 <= job.checkpoint().step < 12
    cores(monkeypatch, 2)
    job.want_stop(None)
    resume(job)
    train(job, home)
    assert job.record().status == "succeeded", job.record().error
    assert job.checkpoint().manifest.environment.processes == 2
    changed = [
        event.data["changes"] for event in job.events.after(0) if event.type == "job.inexact"
    ]
    assert changed == [{"gpus": "2 -> 1"}, {"processes": "1 -> 2"}]
    for mine, theirs in zip(rows_of(job), rows_of(alone), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-3)


class InterruptAfter:
    """As ``Interrupt``, once it has been asked so often: before each step."""

    def __init__(self, times: int) -> None:
        self._left = times

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.slow
def test_two_processes_that_were_stopped_between_two_rows_write_the_same_rows(
    store, home, monkeypatch
):
    cores(monkeypatch, 2)
    changes = {"gpus": 2, "schedule": {"steps": 24, "metrics_every": 8, "checkpoints_every": 24}}
    whole, paused = (make_job(store, "cgan", **changes) for _ in range(2))
    train(whole, home)
    train(paused, home, InterruptAfter(11))
    assert paused.checkpoint().step % 8
    train(paused, home)
    assert paused.record().exact
    assert rows_of(paused) == rows_of(whole)


class KillFollower:
    """Kills the other process of a job once it has played; looks like an event that is set."""

    def __init__(self, job, processes_of, number=signal.SIGKILL) -> None:
        self._job, self._processes_of, self._number = job, processes_of, number
        self.killed_at: float | None = None

    def is_set(self) -> bool:
        if self.killed_at is None and self._job.metrics():
            found = self._processes_of(self._job.path.parents[1])
            (follower,) = [pid for pid, text in found.items() if "worker.follower" in text]
            os.kill(follower, self._number)
            self.killed_at = time.monotonic()
        return False


def test_a_job_whose_follower_is_killed_goes_back_into_the_queue_at_once(
    store, home, monkeypatch, processes_of
):
    cores(monkeypatch, 2)
    job = make_job(store, "points", gpus=2, schedule={"steps": 10**6, "metrics_every": 5})
    killing = KillFollower(job, processes_of)
    train(job, home, killing)
    assert killing.killed_at is not None, (job.path / LOG).read_text()
    assert time.monotonic() - killing.killed_at < 10
    assert job.record().status == "queued"
    assert job.epochs()[-1].loss.signal == signal.SIGKILL
    assert not [text for text in processes_of(home).values() if "worker.follower" in text]


class Interrupt:
    """As Ctrl-C and SIGTERM do: an event that is set, once the job has played."""

    def __init__(self, job) -> None:
        self._job = job

    def is_set(self) -> bool:
        return any(True for _ in self._job.metrics())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop", "expected"),
    [(Interrupt, "queued"), ("pause", "paused"), ("cancel", "canceled")],
    ids=["interrupted", "paused", "canceled"],
)
def test_whoever_stops_a_job_of_two_processes_stops_both_and_what_was_learned_is_saved(
    store, home, monkeypatch, processes_of, stop, expected
):
    cores(monkeypatch, 2)
    endless = {"steps": 10**6, "metrics_every": 5, "checkpoints_every": 10**6}
    job = make_job(store, "points", gpus=2, schedule=endless)
    train(job, home, Interrupt(job) if stop is Interrupt else StopAt(job, 5, stop))
    assert job.record().status == expected
    assert job.checkpoint().step >= list(job.metrics())[-1]["step"] > 0
    assert not [text for text in processes_of(home).values() if "worker.follower" in text]


@pytest.mark.slow
def test_divergence_is_named_by_two_processes_as_by_one(store, home, monkeypatch, processes_of):
    cores(monkeypatch, 2)
    job = make_job(store, "vanilla", gpus=2, schedule={"steps": 2000}, **DIVERGES)
    train(job, home)
    record = job.record()
    assert (record.status, record.error.code) == ("failed", "diverged")
    assert not [text for text in processes_of(home).values() if "worker.follower" in text]


@pytest.mark.slow
def test_a_job_whose_follower_is_frozen_goes_back_into_the_queue(
    store, home, monkeypatch, processes_of
):
    cores(monkeypatch, 2)
    monkeypatch.setattr("worker.roll_call.LAPSE_SECONDS", 3.0)
    job = make_job(store, "points", gpus=2, schedule={"steps": 10**6, "metrics_every": 5})
    train(job, home, KillFollower(job, processes_of, signal.SIGSTOP))
    assert job.record().status == "queued"
    assert job.epochs()[-1].loss.signal == signal.SIGKILL
    assert not [text for text in processes_of(home).values() if "worker.follower" in text]


# Dies as late as nobody but the leader's own thread can notice.
LATE_DEATH = """
import os
from torch.distributed import TCPStore
store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), 2, is_master=False)
store.set("ready/1", "")
"""
LEADING = """
import sys, threading
from pathlib import Path
import worker.group, worker.roll_call
from tests.worker.builders import train
from worker.store import Store
worker.group.available_cores = lambda: 2
worker.group.sys.executable = sys.argv[3]
worker.roll_call._FREEING_SECONDS = 1.0
train(Store(Path(sys.argv[1])).jobs.get(sys.argv[2]), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_leader_whose_follower_dies_while_they_meet_ends_and_does_not_wait(store, home, tmp_path):
    follower, late = tmp_path / "python", tmp_path / "late.py"
    late.write_text(LATE_DEATH)
    follower.write_text(f"#!/bin/sh\nexec {sys.executable} {late}\n")
    follower.chmod(0o700)
    job = make_job(store, "points", gpus=2)
    with Popen([sys.executable, "-c", LEADING, home, job.id, follower]) as leader:
        assert leader.wait(60) == -signal.SIGABRT


@pytest.fixture
def broken_follower(monkeypatch, tmp_path):
    """In place of every follower a process that ends at once."""

    def end_with(status: int) -> None:
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\nexit {status}\n")
        script.chmod(0o700)
        monkeypatch.setattr("worker.group.sys.executable", str(script))
        cores(monkeypatch, 2)

    return end_with


@pytest.mark.slow
def test_a_follower_that_cannot_start_loses_the_attempt_and_at_last_the_job(
    store, home, broken_follower
):
    broken_follower(1)
    job = make_job(store, "points", gpus=2)
    settings = settings_for(home).model_copy(update={"max_attempts": 2})
    train_job(settings, job, threading.Event())
    assert job.record().status == "queued"
    train_job(settings, job, threading.Event())
    assert job.record().status == "failed"
    assert job.record().error.code == "process-lost"


def test_a_follower_that_runs_out_of_memory_ends_the_job_as_its_leader_would(
    store, home, broken_follower
):
    broken_follower(12)
    job = make_job(store, "points", gpus=2)
    train(job, home)
    assert job.record().error.code == "out-of-memory"


@pytest.mark.parametrize(
    ("gpus", "cores_there", "slots", "batch_size", "expected"),
    [
        (1, 8, 1, 8, 1),
        (2, 8, 1, 8, 2),
        (4, 3, 1, 8, 2),
        (4, 8, 1, 8, 4),
        (8, 3, 1, 12, 3),
        (4, 4, 2, 8, 2),
        (4, 4, 8, 8, 1),
    ],
)
def test_as_many_processes_play_as_a_slot_has_cores_for_and_divide_the_batch(
    monkeypatch, gpus, cores_there, slots, batch_size, expected
):
    cores(monkeypatch, cores_there)
    match = match_of(ALONE, {"recipe": "points", "gpus": gpus, "batch_size": batch_size})
    assert count_processes(match.config, CPU, slots) == expected


@pytest.mark.slow
def test_a_job_of_two_processes_trains_through_the_worker(ringside, processes_of):
    job = ringside.train(gpus=2)
    environment = Store(ringside.home).jobs.get(job["id"]).checkpoint().manifest.environment
    assert environment.processes == min(2, available_cores())
    assert not [text for text in processes_of(ringside.home).values() if "follower" in text]
    refused = ringside.client.post("/train", json={"dataset": "ring", "gpus": 65})
    assert refused.status_code == 422
