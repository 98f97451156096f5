"""The right to write an epoch: taken by one process, kept while it lives, lost when it is late.

An epoch's directory can be made once, so it has one writer. A writer that comes back after it was
given up finds that out before it commits anything, and stops: it is fenced. What it wrote
meanwhile lies in its own directory, where it is void.
"""

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path

from worker.errors import Conflict
from worker.identity import ProcessIdentity
from worker.store import disk
from worker.store.epochs import EngineInUse, Epoch, name
from worker.store.files import new_directory, remove_directory, replace_json

_BEAT_SECONDS = 1.0
_RESERVE, _RESERVE_BYTES = "reserve", 65_536


class Fenced(Exception):  # noqa: N818 - named for what it says
    """Another attempt has taken over, so this one must not write any more."""


class Claim:
    """An epoch that belongs to this process until it lets go or dies."""

    def __init__(self, epoch: Epoch, lock: int) -> None:
        self.epoch, self._lock = epoch, lock
        self._left = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="beat", daemon=True)
        self._beating.start()

    @classmethod
    def make(cls, directory: Path, number: int) -> "Claim":
        """Make the epoch of this number. Its lock is held before anybody can see it.

        Raises:
            Conflict: when another process made it first.
        """
        epoch, lock = Epoch(directory / name(number)), -1
        own = ProcessIdentity.own()
        try:
            with new_directory(epoch.path) as temporary:
                # Worth nothing after a power cut, so they are not waited for.
                contents = {"lock": b"", "beat": b"", "holder": str(own).encode()}
                for file, data in {**contents, _RESERVE: bytes(_RESERVE_BYTES)}.items():
                    disk.write(temporary / file, [data], durable=False)
                lock = _locked(temporary / "lock")
            return cls(epoch, lock)
        except BaseException as error:
            if lock >= 0:
                os.close(lock)
            if isinstance(error, FileExistsError):
                raise Conflict("job-running", "another process trains this job") from error
            # It may be visible, where only its last sync failed or no thread could be started.
            if epoch.holder == own:
                (epoch.path / "holder").unlink()
                with suppress(OSError):
                    remove_directory(epoch.path)
            raise

    def begin(self, start_step: int, engine: EngineInUse | None = None) -> None:
        """Say from which step the attempt goes on, and on what it runs.

        What earlier ones wrote beyond that step is void.
        """
        self.check()
        told = engine.model_dump(mode="json") if engine else None
        replace_json(self.epoch.path / "epoch.json", {"start_step": start_step, "engine": told})

    def check(self) -> None:
        """Make sure that this attempt may still write.

        Raises:
            Fenced: when it may not.
        """
        if self.epoch.is_over:
            raise Fenced(f"attempt {self.epoch.number} was taken over")

    def use_reserve(self) -> None:
        """Make a little room on a full disk, so that it can be recorded that it is full."""
        with suppress(OSError):
            (self.epoch.path / _RESERVE).unlink(missing_ok=True)

    def release(self) -> None:
        """Let go, so that another attempt can be made."""
        if self._left.is_set():
            return
        self._left.set()
        self._beating.join()
        self.use_reserve()
        with suppress(OSError):
            (self.epoch.path / "holder").unlink(missing_ok=True)
        os.close(self._lock)

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _beat(self) -> None:
        path = self.epoch.path / "beat"
        while not self._left.wait(_BEAT_SECONDS):
            # A disk that fails for a moment is no reason to be taken for frozen.
            with suppress(OSError):
                os.utime(path)


def _locked(path: Path) -> int:
    """A descriptor that holds the lock; POSIX rather than BSD, which would pass to children."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor
