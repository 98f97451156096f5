"""One real ``ringside up``: started, found by its processes, killed, and started again."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from benchmarks.fault_lab.processes import children_of, kill, slots_below, trainers_below, tree
from benchmarks.fault_lab.waiting import Stuck, wait_until
from worker.processes import start
from worker.store.job import Job

ROOT = Path(__file__).resolve().parents[2]
_UP, _START_SECONDS, _STOP_SECONDS = "Ringside is up: ", 120.0, 130.0
# The code of this very tree, on one thread, wherever a process is started.
ENVIRONMENT = {
    "RINGSIDE_TRAIN_THREADS": "1",
    "RINGSIDE_DEVICE": "cpu",
    "PYTHONPATH": str(ROOT),
}


class Service:
    """A home, and an API that serves it."""

    def __init__(self, home: Path, url: str = "") -> None:
        self.home = home
        self.client = httpx2.Client(base_url=url, timeout=60, trust_env=False)

    def job(self, job_id: str) -> Job:
        """A job's directory, which can be read whatever has become of the processes."""
        return Job(self.home / "jobs" / job_id)


class Ringside(Service):
    """A home, and the ``ringside up`` that works in it now."""

    def __init__(self, home: Path, below: Sequence[str] = (), **variables: str) -> None:
        """``below``: the beginning of the command, such as one that mounts a disk first."""
        super().__init__(home)
        self.log, self._below, self._variables = home / "up.log", below, variables
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until API, Redis and worker answer.

        Raises:
            Stuck: when it does not come up.
        """
        self.log.unlink(missing_ok=True)
        variables = {
            **ENVIRONMENT,
            "RINGSIDE_HOME": str(self.home),
            "RINGSIDE_PORT": "0",
            **self._variables,
        }
        command = [*self._below, sys.executable, "-m", "service.cli", "up"]
        self._process = start(command, variables, self.log)
        url = wait_until(self._read_url, "ringside up", _START_SECONDS)
        self.client.close()
        self.client = httpx2.Client(base_url=url, timeout=60, trust_env=False)

    def job(self, job_id: str) -> Job:
        """A job's directory, also where it lies on a disk that only the service has mounted."""
        root = f"/proc/{self.pid}/root" if self._below else ""
        return Job(Path(f"{root}{self.home}") / "jobs" / job_id)

    def _read_url(self) -> str | None:
        text = self.log.read_text()
        if not self.is_up:
            raise Stuck(f"ringside up ended: {text.strip()[-300:]}")
        return text.partition(_UP)[2].split()[0] if _UP in text else None

    @property
    def is_up(self) -> bool:
        """Whether ``ringside up`` itself lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of ``ringside up``."""
        assert self._process is not None
        return self._process.pid

    def part(self, argument: str) -> int:
        """A child of ``ringside up``, by an argument of its command: api, worker, redis-server."""
        return wait_until(lambda: next(iter(children_of(self.pid, argument)), None), argument)

    def slots(self) -> list[int]:
        """The worker processes that the supervisor keeps."""
        return slots_below(self.pid)

    def trainers(self) -> list[int]:
        """The processes that train now."""
        return trainers_below(self.pid)

    def everything(self) -> list[int]:
        """``ringside up`` and all below it."""
        return [self.pid, *tree(self.pid)]

    def stop(self) -> int:
        """SIGTERM, and wait: the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self.is_up:
            kill(self.everything())
        if self._process is not None:
            self._process.wait()


@contextmanager
def new_home() -> Iterator[Path]:
    """An empty directory with a short path, as unix sockets need it; gone after the block."""
    home = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def serving(home: Path, below: Sequence[str] = (), **variables: str) -> Iterator[Ringside]:
    """A service over a home, which outlives the block; no process of the service does.

    Raises:
        Stuck: when it does not come up.
    """
    service = Ringside(home, below, **variables)
    try:
        service.start()
        yield service
    finally:
        service.kill()
        service.client.close()


@contextmanager
def running(below: Sequence[str] = (), **variables: str) -> Iterator[Ringside]:
    """A service with an empty home; nothing of it is left after the block."""
    with new_home() as home, serving(home, below, **variables) as service:
        yield service
