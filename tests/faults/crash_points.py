"""Kills a commit at each of its system calls, or lets the call fail, and looks at what is left."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tests.faults.committer import NEW_STEP
from tests.faults.scenario import job_with_checkpoints, tensors_at
from worker.store import Store
from worker.store.sweep import sweep

OLD_STEP = 1
_CALLS = "?openat,?mkdir,?mkdirat,?write,?fsync,?fdatasync,?rename,?renameat,?renameat2"
_ROOT = Path(__file__).parents[2]


class Unavailable(Exception):  # noqa: N818
    """There is no strace, or it may not trace."""


class Call(NamedTuple):
    """A system call: its name, and the how-manieth of this name it is."""

    name: str
    number: int


class Report(NamedTuple):
    """Trials; how many left a store that loads, showed the new checkpoint exactly when its rename
    had happened, acknowledged nothing that had failed, and had nothing left over after a sweep.
    """

    points: int
    loadable: int
    visible_only_after_rename: int
    not_acknowledged: int
    swept_clean: int

    @property
    def is_clean(self) -> bool:
        """Whether all was right in every trial, and there was one."""
        return self.points > 0 and set(self) == {self.points}


class Trial(NamedTuple):
    """How a commit ended, and what a new process finds."""

    exit_code: int
    newest_step: int | None
    is_clean: bool


def kill_at_every_call(every: int = 1) -> Report:
    """Kill at each call that touches the store, or at each so-manieth.

    Raises:
        Unavailable: when nothing can be traced here.
    """
    with _committer() as committer:
        calls = _calls(committer)
        trials = [
            (call, _trial(committer, f"{call.name}:signal=SIGKILL:when={call.number}"))
            for call in islice(calls, 0, None, every)
        ]
    return _report(calls, trials, -signal.SIGKILL)


def fail_every_call(name: str, error: str, every: int = 1) -> Report:
    """Let each call of a name fail with an error, such as ENOSPC, or each so-manieth.

    Raises:
        Unavailable: when nothing can be traced here.
    """
    with _committer() as committer:
        calls = _calls(committer)
        trials = [
            (call, _trial(committer, f"{call.name}:error={error}:when={call.number}"))
            for call in islice(_named(name, calls), 0, None, every)
        ]
    return _report(calls, trials, getattr(errno, error))


def _report(calls: list[Call], trials: list[tuple[Call, Trial]], exit_code: int) -> Report:
    (rename,) = [index for index, call in enumerate(calls) if call.name.startswith("rename")]
    expected = [NEW_STEP if calls.index(call) > rename else OLD_STEP for call, _ in trials]
    return Report(
        points=len(trials),
        loadable=sum(trial.newest_step is not None for _, trial in trials),
        visible_only_after_rename=sum(
            trial.newest_step == step for (_, trial), step in zip(trials, expected, strict=True)
        ),
        not_acknowledged=sum(trial.exit_code == exit_code for _, trial in trials),
        swept_clean=sum(trial.is_clean for _, trial in trials),
    )


def _calls(committer: "subprocess.Popen[str]") -> list[Call]:
    """The calls of an undisturbed commit that touch the store, in order."""
    with tempfile.TemporaryDirectory(prefix="rs-") as directory:
        home, log = Path(directory) / "home", Path(directory) / "log"
        job_with_checkpoints(home, OLD_STEP)
        assert _run(committer, home, "-y", f"--trace={_CALLS}", f"--output={log}") == 0
        counts: dict[str, int] = {}
        found = []
        for line in log.read_text().splitlines():
            if match := re.match(r"(\w+)\(", line):
                counts[match[1]] = counts.get(match[1], 0) + 1
                if str(home) in line:
                    found.append(Call(match[1], counts[match[1]]))
    return found


def _named(name: str, calls: list[Call]) -> list[Call]:
    # Some machines have renameat for rename.
    return [call for call in calls if call.name.startswith(name)]


def _trial(committer: "subprocess.Popen[str]", injection: str) -> Trial:
    with tempfile.TemporaryDirectory(prefix="rs-") as directory:
        home = Path(directory) / "home"
        job = job_with_checkpoints(home, OLD_STEP)
        exit_code = _run(committer, home, f"--inject={injection}", "--output=/dev/null")
        sweep(home)
        newest = Store(home).jobs.get(job.id).newest_sound_checkpoint()
        step = newest.step if newest else None
        if newest and newest.tensors("generator")["weight"].tolist() != _weight(newest.step):
            step = None
        return Trial(exit_code, step, not any(job.path.rglob(".*")))


def _weight(step: int) -> list[float]:
    return list(tensors_at(step)["generator"]["weight"].tolist())


def _run(committer: "subprocess.Popen[str]", home: Path, *options: str) -> int:
    """One commit under strace: the exit code of its process."""
    assert committer.stdin and committer.stdout
    committer.stdin.write(f"{home}\n")
    committer.stdin.flush()
    pid = int(committer.stdout.readline())
    command = ["strace", *options, f"--attach={pid}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr
        said = tracer.stderr.readline()
        if "attached" not in said:
            os.kill(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGCONT)
        exit_code = int(committer.stdout.readline())
        tracer.stderr.read()
    if "attached" not in said:
        raise Unavailable(said.strip())
    return exit_code


@contextmanager
def _committer() -> Iterator["subprocess.Popen[str]"]:
    if shutil.which("strace") is None:
        raise Unavailable("strace is not installed")
    command = [sys.executable, "-m", "tests.faults.committer"]
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()
