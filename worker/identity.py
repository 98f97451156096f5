"""Which process this is, in a way that another process can check later.

A process id alone is used again by the kernel, and means nothing on another machine or in another
container.
"""

import hashlib
import os
import signal
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PROCESSES = Path("/proc")


class ProcessIdentity(NamedTuple):
    """A process for all time: where it lives, its id there, and when it started."""

    machine: str
    pid: int
    started: int

    def __str__(self) -> str:
        """Text that is fit for a file name; ``parse`` reads it."""
        return f"{self.machine}-{self.pid}-{self.started}"

    @classmethod
    def own(cls) -> "ProcessIdentity":
        """This process."""
        return cls(_machine(), os.getpid(), _started(os.getpid()) or 0)

    @classmethod
    def parse(cls, text: str) -> "ProcessIdentity | None":
        """What ``str`` made; None for any other text."""
        machine, _, numbers = text.partition("-")
        pid, _, started = numbers.partition("-")
        if not (machine.isalnum() and _is_number(pid) and _is_number(started)):
            return None
        return cls(machine, int(pid), int(started))

    @property
    def is_here(self) -> bool:
        """Whether it lives, or lived, where this process can see it: same boot, same container."""
        return self.machine == _machine()

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; elsewhere nothing is known."""
        return self.is_here and _started(self.pid) != self.started

    def kill(self) -> bool:
        """SIGKILL, which ends a frozen process too. Returns whether it could be sent."""
        if not self.is_here or self.is_gone:
            return False
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, signal.SIGKILL)
            return True
        return False


@cache
def _machine() -> str:
    """A short name of this boot of this machine, and of this container on it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, namespace = os.uname().nodename, ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def _started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks since boot; None when there is none."""
    if not _PROCESSES.exists():
        # Not Linux: only that it was there can be said, so nobody is ever held for gone.
        return 0
    try:
        fields = (_PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    # A process that has ended and was not waited for is listed still.
    return None if fields[0] in "ZX" else int(fields[19])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
