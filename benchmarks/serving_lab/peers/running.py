"""One peer, up and answering; nothing of it is left after the block."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import httpx2

from benchmarks.fault_lab.processes import send
from benchmarks.fault_lab.service import ROOT
from benchmarks.fault_lab.waiting import Stuck, wait_until
from benchmarks.serving_lab.load import Load
from benchmarks.serving_lab.peers.known import Peer
from benchmarks.serving_lab.peers.setting import Setting, Task
from worker.processes import start, stop

_START_SECONDS, _STOP_SECONDS = 180.0, 10.0
_SHOWN_CHARACTERS = 600
# As it is, and as base64.
_PNG_MARKS = (b"\x89PNG", b"iVBORw0K")
_MARK = "RINGSIDE_SERVING_RUN"
# Peers tell their makers about each start unless they are asked not to.
_SILENT = {
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_WAIT_POLICY": "PASSIVE",
}


class Running(NamedTuple):
    """A peer that answers: where, and by which processes."""

    url: str
    pids: Callable[[], list[int]]


@contextmanager
def running(
    peer: Peer, directory: Path, checkpoint: Path, is_prepared: bool, setting: Setting
) -> Iterator[Running]:
    """The peer, once it answers with an image.

    Raises:
        Stuck: when it does not, with the end of what it wrote.
    """
    port, mark = _free_port(), uuid4().hex
    task = Task(str(checkpoint), is_prepared, port, setting)
    python = str(peer.python(directory).absolute())
    binaries = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp", ignore_cleanup_errors=True) as home:
        variables = {
            **_SILENT,
            **task.variables(),
            _MARK: mark,
            "PATH": binaries,
            "PYTHONPATH": str(ROOT),
            "BENTOML_HOME": home,
            "RAY_TMPDIR": home,
        }
        log = Path(home) / "log"
        process = start([python, *peer.command(task)], variables, log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_answering(peer.name, peer.load(setting), url, process, log)
            yield Running(url, partial(_marked, mark))
        finally:
            _end(process, mark)


def _wait_until_answering(
    name: str, load: Load, url: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise Stuck(f"{name} ended")
        with suppress(httpx2.HTTPError):
            return any(mark in _answer(load, url) for mark in _PNG_MARKS)
        return False

    try:
        wait_until(answers, name, _START_SECONDS, every_seconds=0.2)
    except Stuck as error:
        written = log.read_text(errors="replace").strip()
        raise Stuck(f"{error}: {written[-_SHOWN_CHARACTERS:]}") from None


def _answer(load: Load, url: str) -> bytes:
    path, body = (text.replace("{seed}", "7") for text in (load.path, load.body))
    headers = {"Content-Type": "application/json"} if body else {}
    with httpx2.Client(base_url=url, timeout=20, trust_env=False) as client:
        return client.request(load.method, path, content=body, headers=headers).content


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """SIGTERM to its first process, then SIGKILL to all that carry its mark and are left."""
    stop([process], _STOP_SECONDS)
    deadline = time.monotonic() + _STOP_SECONDS
    while (left := _marked(mark)) and time.monotonic() < deadline:
        send(signal.SIGKILL, left)
        time.sleep(0.02)


def _marked(mark: str) -> list[int]:
    """Processes with the mark in their environment, also those whose parents have died."""
    needle, found = f"{_MARK}={mark}".encode(), []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if needle in (directory / "environ").read_bytes():
                found.append(int(directory.name))
    return found


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
