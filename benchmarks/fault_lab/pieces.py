"""Redis, API and workers started one by one, so that a worker can be started in its own way."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from benchmarks.fault_lab.processes import kill, slots_below, trainers_below, tree
from benchmarks.fault_lab.service import ENVIRONMENT, Service, new_home
from benchmarks.fault_lab.waiting import wait_until
from worker.processes import start
from worker.redis import EmbeddedRedis

_START_SECONDS = 60.0


class Worker:
    """A ``ringside worker``, perhaps started below another command, which is not counted."""

    def __init__(self, process: subprocess.Popen[bytes], is_wrapped: bool) -> None:
        self._process, self._is_wrapped = process, is_wrapped

    def everything(self) -> list[int]:
        """Supervisor, slots and training processes, parents first."""
        below = list(tree(self._process.pid))
        return below if self._is_wrapped else [self._process.pid, *below]

    def slots(self) -> list[int]:
        """The worker processes that its supervisor keeps."""
        return slots_below(self._process.pid)

    def trainers(self) -> list[int]:
        """Its processes that train now."""
        return trainers_below(self._process.pid)


class Pieces(Service):
    """A Redis, an API, and as many workers as are started."""

    def __init__(self, home: Path, **variables: str) -> None:
        server = EmbeddedRedis(home / "redis")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._variables = {
            **ENVIRONMENT,
            "RINGSIDE_HOME": str(home),
            "RINGSIDE_PORT": str(port),
            "RINGSIDE_REDIS_URL": server.url,
            **variables,
        }
        self._processes = [server.start(), self._start("api")]
        super().__init__(home, f"http://127.0.0.1:{port}")
        wait_until(self._is_alive, "the API", _START_SECONDS)

    def start_worker(self, below: Sequence[str] = ()) -> Worker:
        """One more, when this returns it waits for jobs."""
        before = self._workers()
        process = self._start("worker", below)
        self._processes.append(process)
        wait_until(lambda: self._workers() > before, "a worker", _START_SECONDS)
        return Worker(process, bool(below))

    def stop(self) -> None:
        """SIGKILL to all of it."""
        for process in reversed(self._processes):
            kill([process.pid, *tree(process.pid)])
            process.wait()
        self.client.close()

    def _start(self, part: str, below: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        command = [*below, sys.executable, "-m", "service.cli", part]
        return start(command, self._variables, Path(self._variables["RINGSIDE_HOME"]) / "parts.log")

    def _is_alive(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def _workers(self) -> int:
        return int(self.client.get("/readyz").json()["workers"] or 0)


@contextmanager
def pieces(**variables: str) -> Iterator[Pieces]:
    """Redis and API with an empty home; nothing of it is left after the block."""
    with new_home() as home:
        started = Pieces(home, **variables)
        try:
            yield started
        finally:
            started.stop()
