"""A training that hangs is ended and goes on from its checkpoint; others are left alone."""

import os
import signal
import subprocess
import sys

import pytest

from tests.worker.builders import make_job, train
from worker.losses import LOG, loss_of
from worker.store import Store
from worker.watchdog import last_calls

_TRAIN = """
import ctypes, sys, threading, time
from pathlib import Path
import worker.setup
from ganmodels.games.match import Match
from worker.checkpointing import CheckpointWriter
from worker.jobs import train_job
from worker.losses import LOG, keep_output
from worker.settings import Settings
from worker.slot import preload
from worker.store import Store

class Hanging(Match):
    def play(self, deck):
        super().play(deck)
        hang(self.step)

# What is imported by and by takes its time.
preload("worker.jobs")
vars(worker.setup)["Match"] = Hanging
home = Path(sys.argv[1])
job = Store(home).jobs.get(sys.argv[2])
keep_output(job.path / LOG)
settings = Settings(home=home, train_threads=1).model_copy(update={"stall_seconds": 6})
train_job(settings, job, threading.Event())
"""

# Python is held up, as by a library that computes for ever without letting go of the interpreter.
_HANGS = """
def hang(step):
    if step == 10:
        ctypes.PyDLL(None).sleep(60)
"""

# Steps are played on, and no checkpoint is ever written.
_NEVER_SAVES = """
def never(writer, snapshot):
    time.sleep(60)

CheckpointWriter.write = never

def hang(step):
    time.sleep(1.2)
"""

_GOING_ON = """
import time
from worker.watchdog import watched
with watched(3) as go_on:
    for _ in range(50):
        time.sleep(0.1)
        go_on()
time.sleep(3.5)
"""

_DUMP = """Timeout (1:00:00)!
Thread 0x00007f0000000001 (most recent call first):
  File "threading.py", line 327 in wait

Thread 0x00007f0000000002 (most recent call first):
  File "inner.py", line 1 in where_it_hangs
  File "outer.py", line 2 in main
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=55, check=False
    )


def head_and_tail(script: str) -> str:
    """The function that hangs goes before the class that calls it."""
    return _TRAIN.replace("class Hanging", script + "\nclass Hanging")


def test_a_training_that_hangs_is_ended_and_goes_on_from_its_checkpoint(store, home):
    # A milestone waits for the checkpoint before it, so that of step 4 is written at step 8.
    job = make_job(store, schedule={"steps": 12, "keep_every": 4})
    ended = run(head_and_tail(_HANGS), home, job.id)
    assert ended.returncode == 1
    loss = loss_of(job.path, ended.returncode << 8, 0)
    assert loss.code == "stalled"
    assert "RINGSIDE_STALL_SECONDS" in loss.detail
    assert loss.log_tail[0].endswith(" in hang")
    assert job.put_back(loss, max_attempts=3)
    train(Store(home).jobs.get(job.id), home)
    assert job.record().status == "succeeded"
    first, second = job.epochs()
    assert first.start == 0
    assert second.start in (4, 8)


def test_a_checkpoint_that_is_never_written_is_a_hang_too(store, home):
    job = make_job(store, schedule={"steps": 100, "checkpoints_every": 1})
    ended = run(head_and_tail(_NEVER_SAVES), home, job.id)
    assert loss_of(job.path, ended.returncode << 8, 0).code == "stalled"
    assert "in never" in (job.path / LOG).read_text()


@pytest.mark.parametrize("status", [signal.SIGKILL, 2 << 8, 0])
def test_an_end_of_another_kind_after_a_stall_is_no_stall(store, status):
    job = make_job(store)
    (job.path / LOG).write_text(_DUMP)
    assert loss_of(job.path, 1 << 8, 0).code == "stalled"
    assert loss_of(job.path, status, 0).code == "process-lost"


@pytest.mark.parametrize(
    "output",
    [
        _DUMP,
        "a line that does not end" + _DUMP,
        _DUMP.removesuffix("\n"),
        _DUMP.replace("Thread 0x00007f0000000001", "...\nThread 0x00007f0000000001"),
        _DUMP.replace("(most", "[a name] (most"),
    ],
)
def test_where_the_main_thread_was_comes_innermost_first(output):
    assert last_calls(output)[0].endswith("in where_it_hangs")


@pytest.mark.parametrize("output", ["", "ValueError: no\n", _DUMP + "ValueError: no\n"])
def test_other_output_says_nothing_of_a_stall(output):
    assert last_calls(output) is None


def test_a_process_that_goes_on_is_left_alone_and_so_is_one_that_is_done():
    assert run(_GOING_ON).returncode == 0
