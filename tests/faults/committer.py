"""Commits a checkpoint in a new process for each line that it reads: the directory of a store.

A process of its own, since importing PyTorch takes longer than a trial; each trial is a fork of
it, which stops itself before it commits, so that a tracer can take hold of it.
"""

import errno
import os
import signal
import sys
import tempfile
from pathlib import Path

import torch

from tests.faults.scenario import commit_at
from worker.store import Store

NEW_STEP = 2


def main() -> None:
    """For each line: print the id of the process that has stopped, later its exit code.

    The exit code is 0 for a commit that was acknowledged, or the number of the error.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as directory:
        # What is imported late is imported now.
        commit_at(Path(directory) / "step-1", 1).verify()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(_commit(Path(line.strip())))
        os.waitpid(pid, os.WUNTRACED)
        _say(pid)
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _commit(home: Path) -> int:
    """The number of the error, 0 for none."""
    (job,) = Store(home).jobs.all()
    path = job.epochs()[-1].checkpoint_path(NEW_STEP)
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        commit_at(path, NEW_STEP)
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
