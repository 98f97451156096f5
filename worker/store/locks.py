"""Locks between processes and threads, each a file that is locked and never removed by itself.

BSD locks belong to an opened file, so two threads that open it exclude each other too. Nothing but
the file is made: where the directory was deleted there is nothing left to lock.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import StoreError

_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.01
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def locked(path: Path, busy: StoreError) -> Iterator[None]:
    """Nobody else is inside such a block with the same path.

    Raises:
        StoreError: ``busy``, when somebody else has been inside for too long.
        FileNotFoundError: when the directory of the lock is not there.
    """
    descriptor = os.open(path, _FLAGS, 0o644)
    try:
        _acquire(descriptor, busy)
        yield
    finally:
        # Closing is not enough where a child process was forked meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _acquire(descriptor: int, busy: StoreError) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise busy from None
            time.sleep(_POLL_SECONDS)
        else:
            return
