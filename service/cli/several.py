"""Several API processes on one port."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from types import FrameType

from prometheus_client import multiprocess

from service.cli.exits import fail
from service.cli.setup import family
from worker.processes import Kept, start, stop
from worker.settings import Settings

_WATCH_SECONDS = 0.2
_BACKLOG = 2048
# Longer than a server waits for the requests that it is at.
_PATIENCE_SECONDS = 15.0
# Connections wait for a process that keeps dying, so it is tried again soon.
_LONGEST_WAIT_SECONDS = 2.0


class _Stopped(Exception):  # noqa: N818 - named for what it says
    """SIGTERM or Ctrl-C."""


def serve_several(settings: Settings, port: int) -> None:
    """Keep so many API processes alive until SIGTERM or Ctrl-C.

    They share a directory for what they measure. This process keeps their sockets: what is sent to
    one that died waits until it is started again, soon, though its siblings may be free.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_stopped)
    with (
        ExitStack() as sockets,
        tempfile.TemporaryDirectory(prefix="ringside-metrics-") as measurements,
    ):
        descriptors = [
            sockets.enter_context(listening).fileno() for listening in _listen(settings, port)
        ]
        children: list[Kept] = []
        with suppress(_Stopped):
            environment = {
                "PROMETHEUS_MULTIPROC_DIR": measurements,
                "RINGSIDE_PROCESSES": str(settings.processes),
            }
            children += [
                Kept(partial(_begin, number, environment), _LONGEST_WAIT_SECONDS)
                for number in descriptors
            ]
            _keep(children, measurements)
        stop([child.process for child in children], _PATIENCE_SECONDS)


def _listen(settings: Settings, port: int) -> list[socket.socket]:
    """A socket for each process.

    The kernel spreads connections over them. From a shared one, the first process that wakes takes
    all that come at once, and its siblings have nothing to do.
    """
    host = settings.host
    try:
        return [
            socket.create_server(
                (host, port), family=family(host), backlog=_BACKLOG, reuse_port=True
            )
            for _ in range(settings.processes)
        ]
    except (OSError, ValueError) as error:
        fail(f"several processes cannot listen on {host}:{port} ({error})")


def _begin(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service.cli", "api", "--descriptor", str(descriptor)]
    return start(command, environment, None, (descriptor,))


def _keep(children: list[Kept], measurements: str) -> None:
    while True:
        for child in children:
            number = child.process.pid
            if child.keep():
                # What it counted stays; what it held is gone.
                multiprocess.mark_process_dead(number, measurements)  # type: ignore[no-untyped-call]
        time.sleep(_WATCH_SECONDS)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    for repeated in (signal.SIGINT, signal.SIGTERM):
        signal.signal(repeated, signal.SIG_DFL)
    raise _Stopped
