"""The batcher: orders that wait for one network, handed out a batch at a time."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from service.engine.models import LoadedModel
from service.engine.orders import Operation, Order, Rows

# Orders of so many rows at most go before larger ones, which still get a part of every batch.
SMALL_ROWS = 8
_SHARE_OF_LARGE = 4
# A call costs as much as so many rows, beside its own.
_CALL_ROWS = 1.2
_MOST_COST = 4 / 3


class Slice(NamedTuple):
    """Some rows of an order."""

    order: Order[Any]
    start: int
    stop: int


def fitting(rows: int, sizes: Sequence[int]) -> int:
    """How many of the rows that wait are best computed at once, in a batch of one of ``sizes``.

    ``sizes`` are ascending. A batch of fewer rows is filled up to its size and costs as much as if
    it were full: more than a third more a row than the next smaller one is too much.
    """
    larger = next((size for size in sizes if size >= rows), sizes[-1])
    smaller = max((size for size in sizes if size <= rows), default=larger)
    filled = (larger + _CALL_ROWS) / max(rows, 1)
    full = (smaller + _CALL_ROWS) / smaller
    return larger if filled <= _MOST_COST * full else smaller


class Batcher:
    """Two lanes of orders for one operation of one model. Its owner keeps threads apart."""

    def __init__(self) -> None:
        self._small: deque[Order[Any]] = deque()
        self._large: deque[Order[Any]] = deque()
        self._large_turn = False

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._small or self._large)

    def add(self, order: Order[Any]) -> None:
        """Queue an order."""
        (self._small if order.count <= SMALL_ROWS else self._large).append(order)

    def take(self, sizes: Sequence[int]) -> list[Slice]:
        """What is to be computed next, in a batch of one of ``sizes``, ascending.

        As many of the rows that wait as ``fitting`` says. Small orders come first and whole, and
        leave a quarter of the batch to large ones where that is possible, else as much as there is.
        Large ones take turns, a slice each.
        """
        self._move_too_large(sizes[-1])
        first = self._small[0].count if self._small else 0
        if self._large and first == sizes[-1] and self._is_turn_of_large():
            return list(self._take_large(sizes[-1]))
        needed = first + bool(self._large)
        least = next((size for size in sizes if size >= needed), sizes[-1])
        room = max(least, fitting(self._rows(), sizes))
        left_to_large = max(1, room // _SHARE_OF_LARGE) if self._large else 0
        slices = list(self._take_small(max(first, room - left_to_large)))
        slices += self._take_large(room - sum(piece.stop - piece.start for piece in slices))
        return slices

    def _is_turn_of_large(self) -> bool:
        """Every other time: where a small order fills the largest batch, one lane waits."""
        self._large_turn = not self._large_turn
        return self._large_turn

    def _rows(self) -> int:
        waiting = itertools.chain(self._small, self._large)
        return sum(order.count - order.taken for order in waiting)

    def _move_too_large(self, most_rows: int) -> None:
        """What fits into no batch is taken in slices, however small it is."""
        if any(order.count > most_rows for order in self._small):
            self._large += [order for order in self._small if order.count > most_rows]
            self._small = deque(order for order in self._small if order.count <= most_rows)

    def _take_small(self, room: int) -> Iterator[Slice]:
        while self._small and self._small[0].count <= room:
            order = self._small.popleft()
            if order.begin():
                order.taken = order.count
                room -= order.count
                yield Slice(order, 0, order.count)

    def _take_large(self, room: int) -> Iterator[Slice]:
        for _ in range(len(self._large)):
            if room <= 0:
                return
            order = self._large.popleft()
            if (order.taken == 0 and not order.begin()) or order.ending.done:
                continue
            start, order.taken = order.taken, min(order.taken + room, order.count)
            room -= order.taken - start
            yield Slice(order, start, order.taken)
            if order.taken < order.count:
                self._large.append(order)


def compute(operation: Operation, model: LoadedModel, slices: Sequence[Slice]) -> int:
    """Compute one batch and deliver what came of it; how many rows it had.

    What goes wrong with the rows of one order is its own affair; what goes wrong with the network
    is that of all.
    """
    ready = [(piece, rows) for piece in slices for rows in _rows(model, piece)]
    batch = [rows for piece, rows in ready if piece.order.count]
    results = None
    if batch:
        joined = tuple(np.concatenate(column) for column in zip(*batch, strict=True))
        try:
            results = operation.compute(model, joined)
        except BaseException as error:
            for piece in slices:
                piece.order.ending.fail(error)
            return 0
    place = 0
    for piece, _ in ready:
        count = piece.stop - piece.start
        found = operation.part(results, place, place + count) if count else None
        piece.order.deliver(model, piece.start, piece.stop, found)
        place += count
    return place


def _rows(model: LoadedModel, piece: Slice) -> Iterator[Rows]:
    """The rows of a slice; nothing where they cannot be made, of which its order is told."""
    try:
        yield piece.order.rows(model, piece.start, piece.stop) if piece.order.count else ()
    except BaseException as error:
        piece.order.ending.fail(error)
