"""A training that hangs is ended and goes on from its checkpoint; others are left alone."""

import os
import subprocess
import sys

from tests.worker.builders import make_job, train
from worker.losses import LOG, log_tail, loss_of
from worker.store import Store

# Python is held up, as by a library that computes for ever without letting go of the interpreter.
_HANGING = """
import ctypes, sys, threading
from pathlib import Path
import worker.setup
from ganmodels.games.match import Match
from worker.jobs import train_job
from worker.losses import LOG, keep_output
from worker.settings import Settings
from worker.store import Store

class Hanging(Match):
    def play(self, deck):
        super().play(deck)
        if self.step == 10:
            ctypes.PyDLL(None).sleep(60)

vars(worker.setup)["Match"] = Hanging
home = Path(sys.argv[1])
job = Store(home).jobs.get(sys.argv[2])
keep_output(job.path / LOG)
train_job(Settings(home=home, train_threads=1, stall_seconds=8), job, threading.Event())
"""

_GOING_ON = """
import time
from worker.watchdog import watched
with watched(0.5) as go_on:
    for _ in range(15):
        time.sleep(0.1)
        go_on()
time.sleep(1)
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=50, check=False
    )


def test_a_training_that_hangs_is_ended_and_goes_on_from_its_checkpoint(store, home):
    # A milestone waits for the checkpoint before it, so that of step 4 is written at step 8.
    job = make_job(store, schedule={"steps": 12, "keep_every": 4})
    ended = run(_HANGING, home, job.id)
    assert ended.returncode == 1
    loss = loss_of(job.path, ended.returncode << 8, 0)
    assert loss.code == "stalled"
    assert "RINGSIDE_STALL_SECONDS" in loss.detail
    assert any("in play" in line for line in log_tail(job.path))
    assert job.put_back(loss, max_attempts=3)
    train(Store(home).jobs.get(job.id), home)
    assert job.record().status == "succeeded"
    first, second = job.epochs()
    assert first.start == 0
    assert second.start in (4, 8)
    with (job.path / LOG).open("a") as log:
        log.write("ValueError: another end, later\n")
    assert loss_of(job.path, 1 << 8, 0).code == "process-lost"


def test_a_process_that_goes_on_is_left_alone_and_so_is_one_that_is_done():
    assert run(_GOING_ON).returncode == 0
