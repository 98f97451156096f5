"""The real thing, started once: Redis, API and worker as child processes, as users start them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from worker.processes import start, stop
from worker.redis import EmbeddedRedis

KEY = "key-for-tests"
READY_SECONDS, JOB_SECONDS = 60, 90
_UP = "Ringside is up: "


def _wait_until(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """The condition's first true value; asks often, gives up after a deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {seconds} seconds")


def _processes_of(home: Path) -> dict[int, str]:
    """Ids and commands of living processes whose environment or command names a home."""
    needle, found = os.fsencode(home), {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (directory / "cmdline").read_bytes()
            # A zombie has no command line any more.
            if command and needle in command + (directory / "environ").read_bytes():
                found[int(directory.name)] = command.replace(b"\0", b" ").decode()
    return found


class Ringside:
    """A running ``ringside up`` with a home of its own and a client with its key."""

    def __init__(self, home: Path, port: int = 0) -> None:
        self.home, self.log = home, home / "up.log"
        self.log.unlink(missing_ok=True)
        self._process = start(
            [sys.executable, "-m", "service.cli", "up"], self._environment(port), self.log
        )
        self.url = _wait_until(self._read_url, "ringside up", READY_SECONDS)
        self.client = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60
        )

    def _environment(self, port: int) -> dict[str, str]:
        return {
            "RINGSIDE_HOME": str(self.home),
            "RINGSIDE_PORT": str(port),
            "RINGSIDE_API_KEYS": KEY,
            "RINGSIDE_TRAIN_THREADS": "1",
        }

    def _read_url(self) -> str | None:
        text = self.log.read_text()
        assert self._process.poll() is None, text
        return text.partition(_UP)[2].split()[0] if _UP in text else None

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to talk to it."""
        return {**os.environ, "RINGSIDE_URL": self.url, "RINGSIDE_API_KEY": KEY}

    @property
    def pid(self) -> int:
        """Process id of ``ringside up``."""
        return self._process.pid

    def submit(self, **body: Any) -> dict[str, Any]:
        """Ask for a training: the job as accepted; a tiny one on points unless told otherwise."""
        response = self.client.post("/train", json={"dataset": "ring", "steps": 20, **body})
        assert response.status_code == 202, response.text
        return response.json()

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now."""
        return self.client.get(f"/jobs/{job_id}").raise_for_status().json()

    def wait(self, job_id: str, event: str = "job.done") -> dict[str, Any]:
        """The job once an event of this type has come, by its event stream."""
        deadline = time.monotonic() + JOB_SECONDS
        headers = {"Accept": "application/x-ndjson"}
        with self.client.stream("GET", f"/jobs/{job_id}/events", headers=headers) as response:
            for line in response.iter_lines():
                if json.loads(line)["type"] == event:
                    return self.job(job_id)
                assert time.monotonic() < deadline, f"no {event} within {JOB_SECONDS} seconds"
        pytest.fail(f"the events of {job_id} ended without {event}")

    def wait_for_attempt(self, job_id: str, number: int) -> dict[str, Any]:
        """The job once it is trained for the n-th time."""
        return _wait_until(
            lambda: (
                (job := self.job(job_id))["attempt"] >= number
                and job["status"] == "running"
                and job
            ),
            f"attempt {number}",
        )

    def train(self, **body: Any) -> dict[str, Any]:
        """Train to the end: the job, which must have succeeded."""
        job = self.wait(self.submit(**body)["id"])
        assert job["status"] == "succeeded", job["error"]
        return job

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to ``ringside up`` and wait for its end: its exit status."""
        self.client.close()
        if number == signal.SIGTERM:
            stop([self._process], 60)
        else:
            self._process.send_signal(number)
        return self.exit_status()

    @property
    def has_ended(self) -> bool:
        """Whether ``ringside up`` has ended."""
        return self._process.poll() is not None

    def exit_status(self) -> int:
        """The exit status of ``ringside up``, which must be ending."""
        return self._process.wait(60)


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """Waits for a condition with a deadline."""
    return _wait_until


@pytest.fixture(scope="session")
def processes_of() -> Callable[[Path], dict[int, str]]:
    """Finds the living processes of a home."""
    return _processes_of


@pytest.fixture(scope="session")
def new_home() -> Iterator[Callable[[], Path]]:
    """Makes homes with short paths, as unix sockets need them."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp")))
        return made[-1]

    yield make
    for home in made:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of the tests' own, without a worker."""
    # The path of a unix socket must be short.
    directory = Path(tempfile.mkdtemp(prefix="rs-", dir="/tmp"))
    server = EmbeddedRedis(directory)
    process = server.start()
    yield server.url
    process.terminate()
    process.wait()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def ringside(new_home: Callable[[], Path]) -> Iterator[Ringside]:
    """The running service that tests share; no process of it may outlive it."""
    running = Ringside(new_home())
    yield running
    assert running.stop() == 0, running.log.read_text()
    assert not _processes_of(running.home)


@pytest.fixture
def launch(new_home: Callable[[], Path]) -> Iterator[Callable[..., Ringside]]:
    """Starts further services, for tests that kill them."""
    launched: list[Ringside] = []

    def begin(home: Path | None = None) -> Ringside:
        launched.append(Ringside(home or new_home()))
        return launched[-1]

    yield begin
    for running in launched:
        running.stop(signal.SIGKILL)


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a ``ringside`` command to its end in a process of its own."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            env={**os.environ, **variables},
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
