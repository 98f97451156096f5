"""Idempotency keys: the same key and body give the same job."""

from pathlib import Path

from filelock import FileLock

from worker.errors import Conflict
from worker.names import file_stem
from worker.store import disk
from worker.store.files import ensure_directory, new_id, read_json, replace_json


class IdempotencyKeys:
    """Remembers which job a key made, for as long as the home lives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def lock(self, key: str) -> FileLock:
        """Held while the first request under this key is at work."""
        ensure_directory(self._directory)
        return FileLock(self._directory / f"{file_stem(key)}.lock")

    def job_id(self, key: str, fingerprint: str) -> str:
        """The id of the job that belongs to a key, inside ``lock``; the job may not exist yet.

        It is fixed before the job is made: a crash in between leaves a key whose job the next
        try makes, never a second job.

        Raises:
            Conflict: when the key was used with another body.
        """
        path = self._directory / f"{file_stem(key)}.json"
        if path.exists():
            # Who wrote it may have died before it was on disk; the answer is to last.
            disk.sync_directory(self._directory)
        else:
            replace_json(path, {"fingerprint": fingerprint, "job": new_id("job")})
        remembered = read_json(path)
        if remembered["fingerprint"] != fingerprint:
            raise Conflict(
                "idempotency-mismatch",
                "this Idempotency-Key was used with another body; use a new key for a new request",
            )
        return str(remembered["job"])
