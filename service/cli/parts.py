"""The child processes of ``ringside up``: started together, stopped in order, none left behind."""

import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

import httpx2
import typer

from service.cli.exits import fail
from service.cli.setup import address, free_port
from worker.processes import Kept, start, stop
from worker.redis import EmbeddedRedis, NoRedis, check_server
from worker.settings import Settings

_READY_SECONDS = 60.0
# A worker that is told to stop finishes its step and writes a checkpoint.
_PATIENCE_SECONDS, _REDIS_PATIENCE_SECONDS = 120.0, 10.0
_WATCH_SECONDS = 0.2
# Jobs wait in Redis, so it is tried more often than others that keep dying.
_LONGEST_REDIS_WAIT_SECONDS = 5.0
_FULL_DISK_BYTES = 2**16
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):  # noqa: N818 - named for what it says
    """Ctrl-C, SIGTERM or a closed terminal: time to stop everything."""


class Parts:
    """Redis, API and worker as children; on leaving, all are stopped.

    A part that dies while they start ends the command with one line that names its log. Once all
    were ready a part that dies is started again, and nothing but a signal ends them: what kills a
    part again and again, such as a full disk, passes, and to give up would end what still works.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._home = settings, settings.home.resolve()
        self._kept: dict[str, Kept] = {}
        self._logs: dict[str, Path] = {}
        self.url, self.client = "", httpx2.Client()
        # Held by whoever starts parts again or stops them.
        self._changing = threading.Lock()

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
        # For good: nothing is started again any more.
        self._changing.acquire()
        processes = {part: kept.process for part, kept in self._kept.items()}
        redis = processes.pop("redis", None)
        stop(list(processes.values()), _PATIENCE_SECONDS)
        stop([redis] if redis else [], _REDIS_PATIENCE_SECONDS)
        return kind is Stopped

    def start(self) -> None:
        """Start Redis, API and worker, wait until they answer, and keep them alive from then on."""
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
            log = self._logs[part] = _fresh(self._home / f"{part}.log")
            command = [sys.executable, "-m", "service.cli", part]
            self._kept[part] = Kept(partial(start, command, environment, log))
        self._wait_until_ready()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # Children die with the thread that started them, so it lives as long as the process.
        threading.Thread(target=self._keep, daemon=True).start()

    def stay(self) -> None:
        """Stay until a signal comes."""
        while True:
            time.sleep(_WATCH_SECONDS)

    def _keep(self) -> None:
        """Start again what dies, for ever."""
        try:
            while True:
                with self._changing:
                    for part, kept in self._kept.items():
                        if kept.keep():
                            self._tell_death(part, kept)
                time.sleep(_WATCH_SECONDS)
        except BaseException:
            # A fault of our own: without this thread nothing would be kept alive.
            os.kill(os.getpid(), signal.SIGTERM)
            raise

    def _tell_death(self, part: str, kept: Kept) -> None:
        """One line for who is at the terminal, and one for all deaths of a Redis without room."""
        if part == "redis" and kept.deaths > 1:
            return
        log = self._logs[part]
        # Where the output goes may be as full as the disk.
        with suppress(OSError):
            is_full = shutil.disk_usage(self._home).free < _FULL_DISK_BYTES
            reason = "the disk is full" if is_full else _last_line(log)
            again = "it is started again until it stays"
            typer.echo(f"ringside: the {part} stopped: {reason} (log: {log}); {again}", err=True)

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
            server = EmbeddedRedis(self._home / "redis")
            self._kept["redis"] = Kept(server.start, _LONGEST_REDIS_WAIT_SECONDS)
            self._logs["redis"] = server.log
        except NoRedis as error:
            fail(str(error))
        return server.url

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
        for part, kept in self._kept.items():
            if kept.process.poll() is not None:
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
