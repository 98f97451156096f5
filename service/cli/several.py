"""Several API processes that accept connections from one listening socket."""

import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from types import FrameType

from prometheus_client import multiprocess

from worker.processes import Kept, start, stop
from worker.settings import Settings

_WATCH_SECONDS = 0.2
_BACKLOG = 2048
# Longer than a server waits for the requests that it is at.
_PATIENCE_SECONDS = 15.0


class _Stopped(Exception):  # noqa: N818 - named for what it says
    """SIGTERM or Ctrl-C."""


def serve_several(settings: Settings, port: int) -> None:
    """Keep so many API processes alive until SIGTERM or Ctrl-C.

    They share the socket, so that a connection waits for whoever is free, also while one of them
    is started again, and a directory for what they measure.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_stopped)
    with (
        socket.create_server(
            (settings.host, port),
            family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            backlog=_BACKLOG,
        ) as listening,
        tempfile.TemporaryDirectory(prefix="ringside-metrics-") as measurements,
    ):
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "service.cli", "api", "--descriptor", str(descriptor)]
        environment = {"PROMETHEUS_MULTIPROC_DIR": measurements}
        begin = partial(start, command, environment, None, (descriptor,))
        children: list[Kept] = []
        with suppress(_Stopped):
            children += [Kept(begin) for _ in range(settings.processes)]
            _keep(children, measurements)
        stop([child.process for child in children], _PATIENCE_SECONDS)


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
