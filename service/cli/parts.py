"""The child processes of ``ringside up``: started together, stopped in order, none left behind."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

import httpx2
import typer

from service.cli.exits import fail
from service.cli.setup import address, free_port
from worker.processes import start, stop
from worker.redis import EmbeddedRedis, NoRedis, check_server
from worker.settings import Settings

_READY_SECONDS = 60.0
# A worker that is told to stop finishes its step and writes a checkpoint.
_PATIENCE_SECONDS, _REDIS_PATIENCE_SECONDS = 120.0, 10.0
_MOST_REVIVALS = 5
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):  # noqa: N818 - named for what it says
    """Ctrl-C, SIGTERM or a closed terminal: time to stop everything."""


class Parts:
    """Redis, API and worker as children; on leaving, all are stopped.

    A part that dies ends the command with one line that names its log.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._home = settings, settings.home.resolve()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: dict[str, Path] = {}
        self._server: EmbeddedRedis | None = None
        self._revivals = 0
        self.url, self.client = "", httpx2.Client()

    def __enter__(self) -> "Parts":
        for number in _STOP_SIGNALS:
            signal.signal(number, _raise_stopped)
        signal.signal(signal.SIGCHLD, lambda *_: self._check_alive())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        # From here on a signal kills this process, and the kernel kills its children.
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        self.client.close()
        if kind is Stopped:
            # The terminal may be gone.
            with suppress(OSError):
                typer.echo("\nstopping: a running training saves first (Ctrl-C again: at once)")
        redis = self._processes.pop("redis", None)
        stop(list(self._processes.values()), _PATIENCE_SECONDS)
        stop([redis] if redis else [], _REDIS_PATIENCE_SECONDS)
        return kind is Stopped

    def start(self) -> None:
        """Start Redis, API and worker, and wait until they answer."""
        self._make_home()
        redis_url = self._redis_url()
        port = free_port(self._settings)
        self._connect(self._settings.model_copy(update={"port": port}))
        environment = {
            "RINGSIDE_REDIS_URL": redis_url,
            "RINGSIDE_HOME": str(self._home),
            "RINGSIDE_PORT": str(port),
        }
        # The API first: it is what people wait for.
        for part in ("api", "worker"):
            self._logs[part] = _fresh(self._home / f"{part}.log")
            command = [sys.executable, "-m", "service.cli", part]
            self._processes[part] = start(command, environment, self._logs[part])
        self._wait_until_ready()

    def watch(self) -> None:
        """Stay until a signal comes or a part dies; a Redis of our own is started again."""
        while True:
            self._revive_redis()
            self._check_alive()
            time.sleep(0.5)

    def _revive_redis(self) -> None:
        """Nothing is lost with Redis, and the other parts wait for it; but not for ever."""
        redis = self._processes.get("redis")
        if redis is None or redis.poll() is None or self._server is None:
            return
        self._revivals += 1
        if self._revivals > _MOST_REVIVALS:
            fail(f"the redis stopped {_MOST_REVIVALS} times (log: {self._server.log})")
        try:
            self._processes["redis"] = self._server.start()
        except NoRedis as error:
            fail(str(error))

    def _make_home(self) -> None:
        try:
            self._home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(f"cannot create RINGSIDE_HOME {self._home} ({error.strerror})")

    def _redis_url(self) -> str:
        try:
            if self._settings.redis_url:
                check_server(self._settings.redis_url)
                return self._settings.redis_url
            self._server = EmbeddedRedis(self._home / "redis")
            self._processes["redis"] = self._server.start()
            self._logs["redis"] = self._server.log
        except NoRedis as error:
            fail(str(error))
        return self._server.url

    def _connect(self, settings: Settings) -> None:
        keys = settings.keys
        headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
        self.url = address(settings)
        # A proxy of the environment cannot reach this machine.
        self.client = httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            self._check_alive()
            if self._is_ready():
                return
            time.sleep(0.05)
        logs = ", ".join(str(log) for log in self._logs.values())
        fail(f"not ready after {_READY_SECONDS:g} seconds; see {logs}")

    def _is_ready(self) -> bool:
        try:
            answer = self.client.get("/readyz")
        except httpx2.TransportError:
            return False
        return answer.status_code == 200 and bool(answer.json()["workers"])

    def _check_alive(self) -> None:
        for part, process in self._processes.items():
            if process.poll() is not None and part != "redis":
                log = self._logs[part]
                fail(f"the {part} stopped: {_last_line(log)} (log: {log})")


def _fresh(log: Path) -> Path:
    """A log to begin; the one of the run before is kept beside it."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    return log


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].removeprefix("ringside: ") if lines else "it wrote nothing"


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    # A second signal is not waited for.
    for repeated in _STOP_SIGNALS:
        signal.signal(repeated, signal.SIG_DFL)
    raise Stopped
