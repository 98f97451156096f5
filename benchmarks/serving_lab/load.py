"""Loads: many clients that ask again as soon as they were answered, driven by wrk."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from benchmarks.lab.processor import Spent
from benchmarks.lab.rounds import Measured

_SCRIPT = Path(__file__).with_name("load.lua")
_MARK = "RESULT "
_LOST = ("connect", "read", "write", "timeout")
# Of one answer: longer than any server's own patience.
_PATIENCE_SECONDS = 60
EVERY_SEED = 2**31 - 1


class NoLoad(Exception):  # noqa: N818 - named for what it says
    """The load could not be made; the message says why."""


class Load(NamedTuple):
    """Requests of one shape, ``images`` asked for in each.

    ``{seed}`` and ``{model}`` in path and body become a number below ``seeds``, and one from 1 to
    ``models``, other ones in every request. A client waits ``pause_ms`` on average, half of it to
    one and a half times, before each request.
    """

    path: str
    clients: int
    images: int = 1
    method: str = "GET"
    body: str = ""
    if_none_match: str = ""
    seeds: int = EVERY_SEED
    models: int = 1
    count_statuses: bool = False
    pause_ms: float = 0.0


class Answers(NamedTuple):
    """What became of a load.

    ``statuses`` counts answers by status where that was asked for, and always by its kind what
    got no answer, which is ``lost`` in all.
    """

    seconds: float
    requests: int
    good: int
    lost: int
    p50_ms: float
    p99_ms: float
    statuses: Mapping[str, int] = MappingProxyType({})

    @property
    def per_second(self) -> float:
        """Requests a second that were answered with what was asked for."""
        return self.good / self.seconds

    def measured(self, images: int = 1, cost: Spent | None = None) -> Measured:
        """As rounds know it, with so many images an answer."""
        failed = self.requests - self.good + self.lost
        cpu_ms = cost.ms_each(self.good * images) if cost else None
        return Measured(self.per_second * images, self.p50_ms, self.p99_ms, failed, cpu_ms)


def require_wrk() -> str:
    """The path of wrk.

    Raises:
        NoLoad: when it is not installed.
    """
    found = shutil.which("wrk")
    if found is None:
        raise NoLoad("wrk is not installed: apt-get install wrk")
    return found


def run(url: str, load: Load, seconds: float) -> Answers:
    """Put a load on a server for whole seconds, at least one.

    Raises:
        NoLoad: when wrk is missing or fails.
    """
    command = [
        require_wrk(),
        "--threads=1",
        f"--connections={load.clients}",
        f"--duration={max(1, round(seconds))}s",
        f"--timeout={_PATIENCE_SECONDS}s",
        f"--script={_SCRIPT}",
        url,
        "--",
        *_arguments(load),
    ]
    longest_seconds = seconds + 2 * _PATIENCE_SECONDS
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=longest_seconds, check=False
    )
    return answers(ended.stdout + ended.stderr)


def _arguments(load: Load) -> list[str]:
    counting = "count" if load.count_statuses else ""
    numbers = [str(load.seeds), str(load.models), counting, str(load.pause_ms)]
    return [load.method, load.path, load.body, load.if_none_match, *numbers]


def answers(written: str) -> Answers:
    """What wrk wrote, understood.

    Raises:
        NoLoad: when it says nothing of a load.
    """
    _, mark, line = written.rpartition(_MARK)
    if not mark:
        raise NoLoad(f"wrk failed: {written.strip()[-300:]}")
    found: dict[str, Any] = json.loads(line.splitlines()[0])
    unanswered = {f"{key} error": found[key] for key in _LOST if found[key]}
    statuses = Counter(unanswered)
    for counted in found["statuses"]:
        statuses.update(counted)
    return Answers(
        seconds=found["seconds"],
        requests=found["requests"],
        good=found["requests"] - found["status"],
        lost=sum(unanswered.values()),
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        statuses=statuses,
    )
