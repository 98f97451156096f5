"""Child processes that never outlive their parent."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_AUTOGROUP_TRIES, _AUTOGROUP_SECONDS = 10, 0.12
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, _LONG_LIFE_SECONDS = 0.1, 30.0, 60.0

log = logging.getLogger("ringside.processes")


class NotStarted(Exception):  # noqa: N818 - named for what it says
    """A child could not be started just now; the message says why."""


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel to kill this process when its parent dies. Linux only.

    ``parent`` is the process id that the parent is known to have.
    """
    if sys.platform != "linux":
        return
    expected = os.getppid() if parent is None else parent
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != expected:
        # The parent died before the request.
        os._exit(1)


def give_way(niceness: int) -> None:
    """Let other processes go first.

    Linux weighs sessions against each other before it looks at niceness within one, where it groups
    processes by session (sched_autogroup(7)), and ``start`` gives each child a session of its own.
    """
    os.nice(niceness)
    weigh_session(niceness)


def weigh_session(niceness: int) -> None:
    """Give the session of this process a niceness, where there is such a thing."""
    for _ in range(_AUTOGROUP_TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(niceness))
        except BlockingIOError:
            # The kernel takes ten a second from all users but root.
            time.sleep(_AUTOGROUP_SECONDS)
        except OSError:
            # Not there on other systems, and not writable everywhere; it is a matter of courtesy.
            return
        else:
            return


def session_niceness(process: int) -> int:
    """The niceness of another process's session, as ``weigh_session`` gave it; 0 where unknown.

    The kernel tells nothing of a process that is in no session's group, as in some containers.
    """
    try:
        told = Path(f"/proc/{process}/autogroup").read_text().split()
    except OSError:
        return 0
    return int(told[-1]) if told else 0


def start(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches the parent alone.

    Its output is added to ``log``; the file descriptors ``keep`` stay open in it.
    """
    output = log.open("ab") if log else None
    try:
        return subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
            pass_fds=keep,
        )
    finally:
        if output:
            output.close()


class Kept:
    """A child that is started again when it dies, each time after a longer wait.

    The first start may fail with what ``begin`` raises. Later a start that the machine refuses, for
    a while without memory or room, is one more death: who keeps this child keeps others too.
    """

    def __init__(
        self,
        begin: Callable[[], subprocess.Popen[bytes]],
        longest_wait_seconds: float = _LONGEST_WAIT_SECONDS,
    ) -> None:
        self._begin, self.process = begin, begin()
        self._longest_wait_seconds = longest_wait_seconds
        self._wait_seconds = 0.0
        self._began = time.monotonic()
        self._due: float | None = None
        self._refused = False
        # How often it died, or could not be started, without having lived for a while.
        self.deaths = 0

    def keep(self) -> bool:
        """See that it lives or will. Returns whether it was found dead just now."""
        if self._due is not None:
            if time.monotonic() >= self._due:
                self._begin_again()
            return False
        if self.process.poll() is None:
            return False
        if time.monotonic() - self._began > _LONG_LIFE_SECONDS:
            self.deaths, self._wait_seconds, self._refused = 0, 0.0, False
        self._count_death()
        return True

    def _begin_again(self) -> None:
        try:
            self.process = self._begin()
        except (OSError, NotStarted) as error:
            self._count_death()
            # Once, however long it takes until it lives for a while.
            if not self._refused:
                log.warning("no new process (%s); tried again and again", error)
            self._refused = True
        else:
            self._began, self._due = time.monotonic(), None

    def _count_death(self) -> None:
        longer_seconds = max(_FIRST_WAIT_SECONDS, 2 * self._wait_seconds)
        self._wait_seconds = min(longer_seconds, self._longest_wait_seconds)
        self._due = time.monotonic() + self._wait_seconds
        self.deaths += 1


def stop(processes: Sequence[subprocess.Popen[bytes]], patience_seconds: float) -> None:
    """SIGTERM to all, once, then SIGKILL to those that outlast the patience."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + patience_seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
