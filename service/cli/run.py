"""Commands that start the parts: ``up``, ``demo``, ``api``, ``worker``."""

import signal
import socket
import sys
import time
from contextlib import ExitStack
from types import FrameType
from typing import NoReturn

import httpx2
import typer
from pydantic import ValidationError

from worker.processes import start, stop
from worker.redis import EmbeddedRedis, NoRedis
from worker.settings import LOOPBACK_HOSTS, Settings

_READY_SECONDS = 60.0
# A worker that is told to stop finishes its step and writes a checkpoint.
_PATIENCE_SECONDS = {"api": 10.0, "worker": 60.0, "redis": 10.0}


class Stopped(Exception):  # noqa: N818
    """SIGINT or SIGTERM: time to stop everything."""


def up() -> None:
    """Start the API, a worker and, unless RINGSIDE_REDIS_URL is set, a Redis of our own.

    Stays until Ctrl-C, which lets a running training save first.
    """
    settings = read_settings()
    with Parts(settings) as parts:
        parts.start()
        typer.echo(f"Ringside is up: {parts.url}  (API documentation: {parts.url}/docs)")
        typer.echo("Ctrl-C stops it; a running training is saved and goes on at the next start.")
        parts.watch()


def demo(
    steps: int = typer.Option(3000, min=1, help="How long to train."),
    again: bool = typer.Option(False, help="Train anew although the model exists."),
) -> None:
    """Start everything, train a GAN on real handwritten digits and write samples.png."""
    from service.cli.demo import show

    settings = read_settings()
    with Parts(settings) as parts:
        parts.start()
        show(parts.client(), parts.url, steps, again)
        parts.watch()


def api() -> None:
    """Run the HTTP API alone. Needs RINGSIDE_REDIS_URL."""
    settings = read_settings()
    import uvicorn

    from service.app import create_app

    application = create_app(settings, _redis_url(settings))
    uvicorn.run(
        application, host=settings.host, port=settings.port, access_log=False,
        server_header=False, log_level="warning", timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=65_536,
    )


def worker() -> None:
    """Run a worker alone. Needs RINGSIDE_REDIS_URL and the API's RINGSIDE_HOME."""
    settings = read_settings()
    from worker.queue import log_to_stderr, work

    log_to_stderr()
    work(settings, _redis_url(settings))


def read_settings() -> Settings:
    """The settings, or one line that says which variable is wrong."""
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"RINGSIDE_{str(first['loc'][0]).upper()}: {first['msg']}")
    if settings.host not in LOOPBACK_HOSTS and not settings.keys:
        fail(
            f"RINGSIDE_HOST is {settings.host}, which others can reach, and RINGSIDE_API_KEYS is "
            "empty: set a key, or listen on 127.0.0.1"
        )
    return settings


def fail(message: str) -> NoReturn:
    """One line on standard error, then exit status 1."""
    typer.echo(f"ringside: {message}", err=True)
    raise typer.Exit(1)


def _redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        fail("set RINGSIDE_REDIS_URL, or use `ringside up`, which brings its own Redis")
    return settings.redis_url


class Parts:
    """The child processes of ``ringside up``; on leaving, all are stopped in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._stack = settings, ExitStack()
        self._processes: dict[str, object] = {}
        host = settings.host if settings.host in LOOPBACK_HOSTS else "127.0.0.1"
        self.url = f"http://{host}:{settings.port}"

    def __enter__(self) -> "Parts":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _raise_stopped)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if kind is Stopped:
            typer.echo("\nstopping: a running training saves first (Ctrl-C again: at once)")
        self._stack.close()
        return kind is Stopped

    def start(self) -> None:
        """Start Redis, API and worker, and wait until they answer."""
        self._check_port()
        home = self._settings.home.resolve()
        home.mkdir(parents=True, exist_ok=True)
        url = self._settings.redis_url or self._start_redis()
        environment = {"RINGSIDE_REDIS_URL": url, "RINGSIDE_HOME": str(home)}
        for part in ("worker", "api"):
            command = [sys.executable, "-m", "service.cli", part]
            process = start(command, environment, log=home / f"{part}.log")
            self._processes[part] = process
            self._stack.callback(stop, process, _PATIENCE_SECONDS[part])
        self._wait_until_ready()

    def client(self) -> httpx2.Client:
        """A client of the API."""
        keys = self._settings.keys
        headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60)

    def watch(self) -> None:
        """Stay until a signal comes or a part dies."""
        while True:
            self._check_alive()
            time.sleep(0.5)

    def _start_redis(self) -> str:
        try:
            server = EmbeddedRedis(self._settings.home / "redis")
            process = server.start()
        except NoRedis as error:
            fail(str(error))
        self._processes["redis"] = process
        self._stack.callback(stop, process, _PATIENCE_SECONDS["redis"])
        return server.url

    def _check_port(self) -> None:
        with socket.socket(socket.AF_INET6 if ":" in self._settings.host else socket.AF_INET) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((self._settings.host, self._settings.port))
            except OSError as error:
                fail(
                    f"cannot listen on {self._settings.host}:{self._settings.port} "
                    f"({error.strerror}); stop what uses it or set RINGSIDE_PORT"
                )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        with self.client() as client:
            while time.monotonic() < deadline:
                self._check_alive()
                try:
                    ready = client.get("/readyz")
                except httpx2.TransportError:
                    time.sleep(0.05)
                    continue
                if ready.status_code == 200 and ready.json()["workers"]:
                    return
                time.sleep(0.05)
        fail(f"not ready after {_READY_SECONDS:g} seconds; see the logs in {self._settings.home}")

    def _check_alive(self) -> None:
        for part, process in self._processes.items():
            if process.poll() is not None:  # type: ignore[attr-defined]
                fail(f"the {part} stopped; see {self._settings.home / (part + '.log')}")


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    # A second signal is not waited for: children die with their parent.
    signal.signal(number, signal.SIG_DFL)
    raise Stopped
