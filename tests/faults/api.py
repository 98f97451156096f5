"""An API alone, as a child process that tests kill and start again at the same address."""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from worker.processes import start
from worker.redis import EmbeddedRedis

KEY = "key-for-tests"
_READY_SECONDS = 60.0


class Api:
    """``ringside api`` over a home and a Redis, and a client with its key.

    ``prefix`` is the beginning of the command, such as one that mounts a disk first.
    """

    def __init__(self, home: Path, redis_url: str, log: Path, prefix: Sequence[str] = ()) -> None:
        self.home, self._log, self._prefix = home, log, prefix
        self._port = _free_port()
        self._variables = {
            "RINGSIDE_HOME": str(home),
            "RINGSIDE_PORT": str(self._port),
            "RINGSIDE_REDIS_URL": redis_url,
            "RINGSIDE_API_KEYS": KEY,
            "RINGSIDE_MAX_QUEUED_JOBS": "100000",
        }
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self._port}", headers=self.headers, timeout=30
        )
        self.start()

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {KEY}"}

    @property
    def url(self) -> str:
        """Its address, which stays the same."""
        return str(self.client.base_url)

    @property
    def pid(self) -> int:
        """The process that listens."""
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [*self._prefix, sys.executable, "-m", "service.cli", "api"]
        self._process = start(command, self._variables, self._log)
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, f"not ready within {_READY_SECONDS} seconds"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def signal(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; ``wait`` reaps it."""
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 30) -> int:
        """The exit status, once it has ended."""
        return self._process.wait(seconds)

    def restart(self) -> None:
        """Kill -9 and start again."""
        self.signal()
        self.wait()
        self.start()

    def close(self) -> None:
        """Kill it, and that is all."""
        self.client.close()
        if self._process.poll() is None:
            self.signal()
            self.wait()

    def submit(self, **body: Any) -> dict[str, Any]:
        """Ask for a training of points: the job as accepted."""
        answer = self.client.post("/train", json={"dataset": "ring", "steps": 20, **body})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())


@contextmanager
def serving() -> Iterator[Api]:
    """An API over an empty home and a Redis of its own."""
    # The path of a unix socket must be short.
    directory = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    server = EmbeddedRedis(directory / "redis")
    redis = server.start()
    api = Api(directory / "home", server.url, directory / "api.log")
    try:
        yield api
    finally:
        api.close()
        redis.terminate()
        redis.wait()
        shutil.rmtree(directory)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
