"""What was promised when: the values that each thing may have after a cut."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class _Promise:
    subject: str
    value: Any
    begun_at: int
    kept_from: int | None = None


class Ledger:
    """A promise is begun when a function is called and holds from when it has returned."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._promises: list[_Promise] = []

    @contextmanager
    def promise(self, subject: str, value: Any) -> Iterator[None]:
        """The block makes the subject have this value."""
        promise = _Promise(subject, value, self._clock())
        self._promises.append(promise)
        yield
        promise.kept_from = self._clock()

    @property
    def subjects(self) -> set[str]:
        return {promise.subject for promise in self._promises}

    def allowed(self, subject: str, cut: int) -> list[Any]:
        """The value last acknowledged before a cut, and those that were on their way."""
        values = [None]
        for promise in self._promises:
            if promise.subject != subject or promise.begun_at > cut:
                continue
            if promise.kept_from is not None and promise.kept_from <= cut:
                values = [promise.value]
            else:
                values.append(promise.value)
        return values
