"""Idempotency keys: the same key and body give the same job."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from worker.errors import Conflict
from worker.names import file_stem
from worker.store import disk
from worker.store.files import ensure_directory, new_id, read_json, replace_json
from worker.store.locks import locked


class Remembered(NamedTuple):
    """The job that belongs to a key; one that was ``made`` and is gone was deleted."""

    job_id: str
    made: bool


class IdempotencyKeys:
    """Remembers which job a key made, for as long as the home lives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Held while the first request under this key is at work; who comes second waits for it.

        Raises:
            Conflict: when that takes too long.
        """
        ensure_directory(self._directory)
        detail = "another request under this Idempotency-Key is at work; try again"
        return locked(self._path(key).with_suffix(".lock"), Conflict("conflict", detail))

    def recall(self, key: str, fingerprint: str) -> Remembered:
        """The job of a key, inside ``lock``.

        Its id is fixed before the job is made: a crash in between leaves a key whose job the next
        try makes, never a second job.

        Raises:
            Conflict: when the key was used with another body.
        """
        path = self._path(key)
        if path.exists():
            # Who wrote it may have died before it was on disk; the answer is to last.
            disk.sync_directory(self._directory)
        else:
            replace_json(path, {"fingerprint": fingerprint, "job": new_id("job")})
        try:
            remembered: dict[str, Any] = dict(read_json(path))
        except (ValueError, TypeError):
            raise Conflict(
                "conflict",
                "what is known of this Idempotency-Key is damaged; GET /jobs shows whether its job "
                "was made; use a new key",
            ) from None
        if remembered["fingerprint"] != fingerprint:
            raise Conflict(
                "idempotency-mismatch",
                "this Idempotency-Key was used with another body; use a new key for a new request",
            )
        return Remembered(str(remembered["job"]), remembered.get("made", False))

    def mark_made(self, key: str) -> None:
        """Note that the job of a key was made, inside ``lock``."""
        path = self._path(key)
        replace_json(path, {**read_json(path), "made": True})

    def _path(self, key: str) -> Path:
        return self._directory / f"{file_stem(key)}.json"
