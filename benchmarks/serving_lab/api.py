"""Ringside as users start it, with ``ringside up``, over a home that is there already."""

import threading
from types import TracebackType

from benchmarks.fault_lab.processes import resident_bytes, tree
from benchmarks.fault_lab.service import Ringside

_EVERY_SECONDS = 0.25


def address(service: Ringside) -> str:
    """Where it is reached."""
    return str(service.client.base_url).rstrip("/")


def ask(service: Ringside, path: str, **headers: str) -> tuple[int, str, bytes]:
    """One request: status, ETag and body."""
    answer = service.client.get(path, headers=headers)
    return answer.status_code, answer.headers.get("etag", ""), answer.content


class Memory:
    """Watches what the API's processes hold, inside a block."""

    def __init__(self, service: Ringside) -> None:
        self._api = service.part("api")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        # Bytes, one value every quarter of a second.
        self.resident: list[int] = []

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self.resident.append(sum(map(resident_bytes, (self._api, *tree(self._api)))))
