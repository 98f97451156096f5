"""A job's events: an append-only file whose line numbers are the event ids."""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock

from worker.store.files import now, parse_line

_TAIL_BYTES = 65_536


class Event(NamedTuple):
    """One event; ``id`` counts from 1 without gaps."""

    id: int
    type: str
    at: str
    data: dict[str, Any]


class EventLog:
    """Written by the trainer and the API, read by any number of streams."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(path.with_suffix(".lock"))

    def append(self, type_: str, data: dict[str, Any]) -> None:
        """Add one event. Ids stay without gaps, whoever writes."""
        with self._lock, self._path.open("a+b") as file:
            last_id, end = _whole_tail(file)
            # A line that a crash tore is not part of the history.
            file.truncate(end)
            line = {"id": last_id + 1, "type": type_, "at": now(), "data": data}
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def after(self, last_id: int) -> Iterator[Event]:
        """Events with a larger id, oldest first. A line still being written is left for later."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            # An event's id is the number of its line, so those before need not be understood.
            for line in islice(file, last_id, None):
                event = parse_line(line)
                if event is None:
                    return
                yield Event(**event)

    @property
    def last_id(self) -> int:
        """The id of the newest event; 0 before the first."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as file:
            return _whole_tail(file)[0]

    @property
    def size(self) -> int:
        """Bytes written so far: unchanged means that nothing is new."""
        return self._path.stat().st_size if self._path.exists() else 0


def _whole_tail(file: BinaryIO, span_bytes: int = _TAIL_BYTES) -> tuple[int, int]:
    """The id on the last whole line, and where that line ends.

    The file is not synced: after a power cut there may be anything behind it.
    """
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - span_bytes)
    file.seek(start)
    for line in reversed(file.read(end - start).splitlines(keepends=True)):
        if event := parse_line(line):
            return int(event["id"]), end
        end -= len(line)
    return _whole_tail(file, 16 * span_bytes) if start else (0, 0)
