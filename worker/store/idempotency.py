"""Idempotency keys: the same key and body give the same job."""

from pathlib import Path

from filelock import FileLock

from worker.errors import Conflict
from worker.names import file_stem
from worker.store.files import read_json, replace_json


class IdempotencyKeys:
    """Remembers which job a key made, for as long as the home lives."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def lock(self, key: str) -> FileLock:
        """Held while the first request under this key is at work."""
        self._directory.mkdir(parents=True, exist_ok=True)
        return FileLock(self._directory / f"{file_stem(key)}.lock")

    def find(self, key: str, fingerprint: str) -> str | None:
        """The job made under this key, or None.

        Raises:
            Conflict: when the key was used with another body.
        """
        path = self._directory / f"{file_stem(key)}.json"
        if not path.exists():
            return None
        remembered = read_json(path)
        if remembered["fingerprint"] != fingerprint:
            raise Conflict(
                "idempotency-mismatch",
                "this Idempotency-Key was used with another body; use a new key for a new request",
            )
        return str(remembered["job"])

    def remember(self, key: str, fingerprint: str, job_id: str) -> None:
        """Tie the key to a job."""
        path = self._directory / f"{file_stem(key)}.json"
        replace_json(path, {"fingerprint": fingerprint, "job": job_id})
