"""Orders: rows that a request wants computed by a network, and what is made of them."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast

from numpy.typing import NDArray

from service.engine.models import LoadedModel

# Arrays that share their first dimension: what a network takes, one row for each item.
Rows = tuple[NDArray[Any], ...]
Answer = TypeVar("Answer")


class DeadlinePassed(Exception):  # noqa: N818 - no fault of anybody
    """An order that waited longer than its client would."""


class Dropped(Exception):  # noqa: N818 - no fault of anybody
    """An order that nobody wants any more, or that nobody will serve."""


class Ending(Generic[Answer]):
    """How an order ends: once, in any thread; what comes later is ignored.

    It does a fraction of what ``concurrent.futures.Future`` does, in a fraction of its time, which
    is that of a small image: it cannot be waited for, but for being told.
    """

    def __init__(self) -> None:
        # Called in the thread that ends it; to be set before it can end.
        self.told: Callable[[Ending[Answer]], object] | None = None
        self.done = False
        # What it ended with, if not with an answer.
        self.error: BaseException | None = None
        self._answer: Answer | None = None
        # Who takes it may end the order; taking it is one operation.
        self._token = [None]

    def answer(self, answer: Answer) -> None:
        """End well."""
        self._end(answer, None)

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        self._end(None, error)

    def drop(self) -> None:
        """End because nobody wants it any more."""
        self._end(None, Dropped())

    def result(self) -> Answer:
        """The answer of what has ended; else the error is raised."""
        assert self.done, "asked too early"
        if self.error is not None:
            raise self.error
        return cast(Answer, self._answer)

    def _end(self, answer: Answer | None, error: BaseException | None) -> None:
        try:
            self._token.pop()
        except IndexError:
            return
        self._answer, self.error = answer, error
        self.done = True
        if self.told:
            self.told(self)


class Operation(Protocol):
    """What one network of a model does to rows; orders for equal operations share batches.

    ``name`` is one of few, for measurements.
    """

    name: ClassVar[str]

    def batch_sizes(self, model: LoadedModel) -> Sequence[int]:
        """How many rows a batch may have, ascending; with fewer it costs as much as the next."""

    def compute(self, model: LoadedModel, rows: Rows) -> Any:
        """Results for at most so many rows. No row's result depends on the others."""

    def part(self, results: Any, start: int, stop: int) -> Any:
        """The results of some of the rows."""

    def join(self, parts: Sequence[Any]) -> Any:
        """The results of all parts, in their order."""


class Stages(NamedTuple):
    """Where the time of an order went, in seconds."""

    queue: float
    compute: float
    encode: float


class Order(Generic[Answer]):
    """``count`` rows for an operation, and what is made of the results once all are there.

    ``rows`` gives those from start to stop and ``finish`` the answer; both are called in a model
    thread, so that nothing is done for an order that is dropped. ``count`` may be 0: then only
    ``finish`` is called, with None. ``deadline`` is a moment of ``time.monotonic()``. Where
    ``aside`` is set it is called in place of ``finish``, in the model thread, and sees to it that
    ``Order.finish`` is called in another.
    """

    def __init__(
        self,
        operation: Operation,
        count: int,
        rows: Callable[[LoadedModel, int, int], Rows],
        finish: Callable[[LoadedModel, Any], Answer],
        deadline: float,
        aside: "Callable[[Order[Any], LoadedModel], object] | None" = None,
    ) -> None:
        self.operation, self.count, self.rows, self.deadline = operation, count, rows, deadline
        self.ending: Ending[Answer] = Ending()
        # Rows that were handed out; guarded by the crew's lock.
        self.taken = 0
        self._finish, self._aside = finish, aside
        self._parts: dict[int, Any] = {}
        self._delivered = 0
        self._lock = threading.Lock()
        self._made = self._begun = self._computed = self._ended = time.monotonic()

    @property
    def stages(self) -> Stages:
        """Where the time went; meaningful once the answer is there."""
        return Stages(
            queue=self._begun - self._made,
            compute=self._computed - self._begun,
            encode=self._ended - self._computed,
        )

    def begin(self) -> bool:
        """Whether somebody still waits for it. Called when its first rows are handed out."""
        self._begun = time.monotonic()
        if self._begun > self.deadline:
            self.ending.fail(DeadlinePassed())
        return not self.ending.done

    def deliver(self, model: LoadedModel, start: int, stop: int, results: Any) -> None:
        """Keep the results of rows start to stop; with the last of them the answer is made."""
        with self._lock:
            self._parts[start] = results
            self._delivered += stop - start
            complete = self._delivered == self.count
        if not complete:
            return
        self._computed = time.monotonic()
        if self._aside:
            self._aside(self, model)
        else:
            self.finish(model)

    def finish(self, model: LoadedModel) -> None:
        """Make the answer, if anybody still waits for it."""
        if self.ending.done:
            return
        try:
            parts = [self._parts[start] for start in sorted(self._parts)]
            answer = self._finish(model, self.operation.join(parts) if self.count else None)
        # Whatever it is, it belongs to the one who asked.
        except BaseException as error:
            self.ending.fail(error)
            return
        self._ended = time.monotonic()
        self.ending.answer(answer)
