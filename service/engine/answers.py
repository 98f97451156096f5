"""Answers that were given already, by their ETags: bounded in bytes, the latest used stay."""

import threading
from collections import OrderedDict


class AnswerCache:
    """Encoded answers. Safe to use from several threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._size_bytes = limit_bytes, 0
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, etag: str) -> bytes | None:
        """The answer with this ETag, if it is still here."""
        with self._lock:
            if etag in self._answers:
                self._answers.move_to_end(etag)
            return self._answers.get(etag)

    def put(self, etag: str, answer: bytes) -> None:
        """Keep an answer; one that would push out most of the others is not kept."""
        if len(answer) > self._limit_bytes // 4:
            return
        with self._lock:
            self._size_bytes += len(answer) - len(self._answers.pop(etag, b""))
            self._answers[etag] = answer
            while self._size_bytes > self._limit_bytes:
                self._size_bytes -= len(self._answers.popitem(last=False)[1])
