"""What became of a training process is said in words that help."""

import subprocess
import sys

from tests.worker.builders import make_job
from worker.losses import LOG, log_tail, loss_of

_CRASH = """
import sys
from pathlib import Path
from worker.losses import keep_output
keep_output(Path(sys.argv[1]))
print("before the crash", file=sys.stderr, flush=True)
import ctypes
ctypes.string_at(0)
"""


def test_a_kill_is_told_from_a_kill_for_want_of_memory(store, monkeypatch):
    path = make_job(store).path
    monkeypatch.setattr("worker.losses.count_oom_kills", lambda: 7)
    assert loss_of(path, 9, oom_kills_before=7).code == "process-lost"
    memory = loss_of(path, 9, oom_kills_before=6)
    assert (memory.code, memory.signal) == ("out-of-memory", 9)
    assert "batch_size" in memory.detail


def test_an_exit_status_is_said(store):
    loss = loss_of(make_job(store).path, 3 << 8, 0)
    assert (loss.signal, "exit status 3" in loss.detail) == (None, True)


def test_a_crash_of_native_code_leaves_its_place_in_the_log(store):
    job = make_job(store)
    child = subprocess.run([sys.executable, "-c", _CRASH, str(job.path / LOG)], check=False)
    loss = loss_of(job.path, -child.returncode, 0)
    assert loss.signal == 11
    assert "signal 11 (Segmentation fault)" in loss.detail
    assert loss.log_tail[0] == "before the crash"
    assert any("Segmentation fault" in line for line in loss.log_tail)


def test_a_long_log_is_cut_and_a_missing_one_is_empty(tmp_path):
    assert log_tail(tmp_path) == ()
    (tmp_path / LOG).write_text("".join(f"line {number}\n" for number in range(10_000)))
    tail = log_tail(tmp_path)
    assert (len(tail), tail[-1]) == (20, "line 9999")
