"""A job's events: an append-only file whose line numbers are the event ids."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from worker.store.files import now


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
            number = _last_id(file) + 1
            line = {"id": number, "type": type_, "at": now(), "data": data}
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def after(self, last_id: int) -> Iterator[Event]:
        """Events with a larger id, oldest first. A line still being written is left for later."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return
                event = Event(**json.loads(line))
                if event.id > last_id:
                    yield event

    @property
    def size(self) -> int:
        """Bytes written so far: unchanged means that nothing is new."""
        return self._path.stat().st_size if self._path.exists() else 0


def _last_id(file: Any) -> int:
    """The id on the last whole line; a torn last line (a crash while writing) is cut off."""
    end = file.seek(0, 2)
    window = min(end, 65536)
    file.seek(end - window)
    tail = file.read(window)
    whole = tail.rfind(b"\n") + 1
    if whole < len(tail):
        file.truncate(end - len(tail) + whole)
        file.seek(0, 2)
    lines = tail[:whole].splitlines()
    return int(json.loads(lines[-1])["id"]) if lines else 0
