"""Child processes: none outlives its parent, and stopping is polite first."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker.processes import session_niceness, start, stop

_WAIT = "import signal; print('ready', flush=True); signal.pause()"
_STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + _WAIT.partition(" ")[2]
)
_PARENT = f"""
import sys
from worker.processes import start
print(start([sys.executable, "-c", {_WAIT!r}]).pid, flush=True)
sys.stdin.read()
"""


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def begin(tmp_path, wait_until):
    started = []

    def run(script):
        log = tmp_path / f"{len(started)}.log"
        started.append(start([sys.executable, "-c", script], log=log))
        wait_until(lambda: "ready" in log.read_text(), "the child")
        return started[-1]

    yield run
    stop(started, 0)


def test_a_child_dies_when_its_parent_is_killed(wait_until):
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        child = int(parent.stdout.readline())
        assert _is_alive(child)
        parent.kill()
    wait_until(lambda: not _is_alive(child), "death of the child", 5)


def test_a_child_that_gives_way_does_so_within_its_session_and_as_one(begin):
    child = begin("from worker.processes import give_way; give_way(7); " + _WAIT)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 7
    group = Path(f"/proc/{child.pid}/autogroup")
    if not group.exists():
        pytest.skip("this kernel does not group processes by session")
    assert group.read_text().split()[-1] == "7"
    assert session_niceness(child.pid) == 7


def test_a_process_that_is_gone_has_no_niceness():
    assert session_niceness(2**22 + 1) == 0


def test_a_process_of_which_the_kernel_tells_nothing_has_no_niceness(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda path: "")
    assert session_niceness(os.getpid()) == 0


def test_a_child_is_out_of_reach_of_ctrl_c(begin):
    assert os.getsid(begin(_WAIT).pid) != os.getsid(0)


def test_stop_asks_all_with_one_sigterm(begin):
    children = [begin(_WAIT), begin(_WAIT)]
    stop(children, 10)
    assert [child.returncode for child in children] == [-signal.SIGTERM] * 2


def test_stop_kills_what_outlasts_its_patience(begin):
    child = begin(_STUBBORN)
    stop([child], 0.1)
    assert child.returncode == -signal.SIGKILL


def test_stop_of_the_dead_is_harmless(begin):
    child = begin(_WAIT)
    stop([child], 10)
    stop([child], 10)
    assert child.returncode == -signal.SIGTERM


def test_environment_is_added_and_output_appended(tmp_path):
    log = tmp_path / "log"
    log.write_text("before\n")
    script = "import os; print(os.environ['RINGSIDE_TEST'], 'PATH' in os.environ)"
    start([sys.executable, "-c", script], {"RINGSIDE_TEST": "1"}, log).wait(20)
    assert log.read_text() == "before\n1 True\n"
