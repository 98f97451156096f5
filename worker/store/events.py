"""A job's events: an append-only file whose line numbers are the event ids."""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from worker.errors import Unavailable
from worker.store.files import now, parse_line
from worker.store.locks import locked

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

    def append(self, type_: str, data: dict[str, Any]) -> None:
        """Add one event. Ids stay without gaps, whoever writes.

        Raises:
            Unavailable: when others have been writing for too long.
            FileNotFoundError: when the job was deleted.
        """
        busy = Unavailable("events-busy", "the history of this job is being written; try again")
        with locked(self._path.with_suffix(".lock"), busy), self._path.open("a+b") as file:
            last_id, end = _whole_tail(file)
            # A line that a crash tore is not part of the history.
            file.truncate(end)
            line = {"id": last_id + 1, "type": type_, "at": now(), "data": data}
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def reader(self, last_id: int) -> "EventReader":
        """Reads on after an event, as more are written."""
        return EventReader(self._path, last_id)

    def after(self, last_id: int) -> Iterator[Event]:
        """Events with a larger id, oldest first. A line still being written is left for later."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            # An event's id is the number of its line, so those before need not be understood.
            for event, _ in _whole(islice(file, last_id, None)):
                yield event

    def newest(self, types: Collection[str]) -> Event | None:
        """The newest event of one of some types."""
        if not self._path.exists():
            return None
        with self._path.open("rb") as file:
            return _newest(file, types)

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


class EventReader:
    """Reads a history from some event on; what was read is not gone through again."""

    def __init__(self, path: Path, last_id: int) -> None:
        self._path, self._last_id = path, last_id
        # Where the event after the last one begins; None until it was found.
        self._offset: int | None = None

    def read(self, most: int) -> list[Event]:
        """The next events, at most so many; none when nothing new is whole."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            if self._offset is None:
                # An event's id is the number of its line.
                self._offset = sum(map(len, islice(file, self._last_id)))
            file.seek(self._offset)
            found = []
            for event, size_bytes in _whole(islice(file, most)):
                found.append(event)
                self._offset += size_bytes
            return found


def _whole(lines: Iterable[bytes]) -> Iterator[tuple[Event, int]]:
    """Events and the bytes they take, up to one that is still being written."""
    for line in lines:
        event = parse_line(line)
        if event is None:
            return
        yield Event(**event), len(line)


def _newest(file: BinaryIO, types: Collection[str], span_bytes: int = _TAIL_BYTES) -> Event | None:
    start, lines = _tail(file, span_bytes)
    for line in reversed(lines):
        event = parse_line(line)
        if event and event.get("type") in types:
            return Event(**event)
    return _newest(file, types, 16 * span_bytes) if start else None


def _whole_tail(file: BinaryIO, span_bytes: int = _TAIL_BYTES) -> tuple[int, int]:
    """The id on the last whole line, and where that line ends.

    The file is not synced: after a power cut there may be anything behind it.
    """
    start, lines = _tail(file, span_bytes)
    end = start + sum(map(len, lines))
    for line in reversed(lines):
        if event := parse_line(line):
            return int(event["id"]), end
        end -= len(line)
    return _whole_tail(file, 16 * span_bytes) if start else (0, 0)


def _tail(file: BinaryIO, span_bytes: int) -> tuple[int, list[bytes]]:
    """Where the last so many bytes begin, and their lines; the first may be part of one."""
    start = max(0, file.seek(0, os.SEEK_END) - span_bytes)
    file.seek(start)
    return start, file.read().splitlines(keepends=True)
