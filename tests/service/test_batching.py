"""Orders share batches, small ones first, and nobody pays for another's mistake."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from service.engine.batcher import SMALL_ROWS, Batcher, Slice, compute, fitting
from service.engine.models import LoadedModel
from service.engine.orders import DeadlinePassed, Ending, Order, Rows

MODEL = cast(LoadedModel, None)
LARGE = 3 * SMALL_ROWS


@dataclass(frozen=True)
class Doubling:
    """A network whose result for a row is twice the row."""

    name: ClassVar[str] = "double"

    def batch_sizes(self, model: LoadedModel) -> Sequence[int]:
        return (16,)

    def compute(self, model: LoadedModel, rows: Rows) -> Any:
        if (rows[0] < 0).any():
            raise ArithmeticError("negative")
        return 2 * rows[0]

    def part(self, results: Any, start: int, stop: int) -> Any:
        return results[start:stop]

    def join(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(parts)


def order(
    count: int,
    first: int = 0,
    seconds: float = 60,
    finish: Callable[[LoadedModel, Any], Any] = lambda _, results: results,
) -> Order[Any]:
    """An order for the numbers from ``first`` on."""
    return Order(
        Doubling(),
        count,
        lambda _, start, stop: (np.arange(first + start, first + stop),),
        finish,
        time.monotonic() + seconds,
    )


def batcher(*orders: Order[Any]) -> Batcher:
    waiting = Batcher()
    for one in orders:
        waiting.add(one)
    return waiting


def sizes(slices: Sequence[Slice]) -> list[int]:
    return [piece.stop - piece.start for piece in slices]


def serve(waiting: Batcher, most_rows: int) -> int:
    """Compute all that waits; how many batches it took."""
    batches = 0
    while waiting:
        compute(Doubling(), MODEL, waiting.take([most_rows]))
        batches += 1
    return batches


def test_all_that_waits_is_one_batch() -> None:
    orders = [order(1 + index, first=10 * index) for index in range(4)]
    assert serve(batcher(*orders), most_rows=16) == 1
    for index, one in enumerate(orders):
        assert one.ending.result().tolist() == [20 * index + 2 * row for row in range(1 + index)]


def test_a_lone_order_is_taken_at_once() -> None:
    assert sizes(batcher(order(1)).take([16])) == [1]


@pytest.mark.parametrize(
    ("waiting", "taken"), [(1, 1), (2, 2), (3, 3), (5, 4), (7, 7), (9, 8), (14, 14), (40, 16)]
)
def test_a_batch_is_not_filled_up_for_much_more_than_waits(waiting: int, taken: int) -> None:
    orders = [order(1) for _ in range(waiting)]
    assert len(batcher(*orders).take([1, 2, 4, 8, 16])) == taken


def test_what_is_left_is_taken_next() -> None:
    orders = [order(1, first=row) for row in range(21)]
    waiting = batcher(*orders)
    found = [len(waiting.take([1, 2, 4, 8, 16])) for _ in range(3)]
    assert found == [16, 4, 1]
    assert not waiting


def test_a_small_order_stays_whole_where_fewer_rows_would_fit_better() -> None:
    assert sizes(batcher(order(5)).take([1, 2, 4, 8])) == [5]


@pytest.mark.parametrize("count", [2, SMALL_ROWS])
def test_a_small_order_for_a_network_of_smaller_batches_is_split(count: int) -> None:
    small = order(count)
    assert serve(batcher(small), most_rows=1) == count
    assert small.ending.result().tolist() == [2 * row for row in range(count)]


@pytest.mark.parametrize(("waiting", "rows"), [(2, 1), (40, 64), (64, 64), (99, 64)])
def test_of_sizes_far_apart_the_cheaper_one_is_taken(waiting: int, rows: int) -> None:
    assert fitting(waiting, [1, 64]) == rows


@pytest.mark.parametrize("most", [[1], [1, 2], [1, 2, 4, 8], [1, 2, 4, 8, 16], [1, 64]])
@pytest.mark.parametrize("small_rows", [1, 4, SMALL_ROWS])
@pytest.mark.parametrize("large_rows", [9, 10, 11, 17, 35])
def test_small_orders_that_keep_coming_do_not_hold_up_a_large_one(
    most: list[int], small_rows: int, large_rows: int
) -> None:
    large, small = order(large_rows), [order(small_rows)]
    waiting = batcher(large, *small)
    for _ in range(4 * large_rows):
        batch = waiting.take(most)
        assert sum(sizes(batch)) <= most[-1]
        compute(Doubling(), MODEL, batch)
        if small[-1].ending.done:
            small.append(order(small_rows))
            waiting.add(small[-1])
    assert large.ending.done
    assert len(small) > 2


def test_an_order_ends_once_whoever_is_first() -> None:
    ending: Ending[int] = Ending()
    told: list[Any] = []
    ending.told = told.append
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ending.answer, range(200)))
    ending.drop()
    assert told == [ending]
    assert ending.result() in range(200)
    assert ending.error is None


def test_a_large_order_is_split_and_put_together_in_its_order() -> None:
    large = order(50, first=7)
    assert serve(batcher(large), most_rows=16) == 4
    assert large.ending.result().tolist() == [2 * row for row in range(7, 57)]


def test_small_orders_go_first_and_large_ones_keep_a_quarter() -> None:
    large, small = order(LARGE), [order(1) for _ in range(20)]
    slices = batcher(large, *small).take([16])
    assert sizes(slices) == [1] * 12 + [4]
    assert slices[-1].order is large


def test_large_orders_take_turns() -> None:
    first, second = order(LARGE), order(LARGE)
    waiting = batcher(first, second)
    taken = [waiting.take([16])[0].order for _ in range(3)]
    assert taken == [first, second, first]


def test_parts_may_come_in_any_order() -> None:
    large = order(LARGE)
    waiting = batcher(large)
    slices = [waiting.take([16]), waiting.take([16])]
    for batch in reversed(slices):
        compute(Doubling(), MODEL, batch)
    assert large.ending.result().tolist() == [2 * row for row in range(LARGE)]


@pytest.mark.parametrize("count", [1, LARGE])
def test_who_has_gone_is_not_computed(count: int) -> None:
    left = order(count)
    left.ending.drop()
    assert batcher(left).take([16]) == []


@pytest.mark.parametrize("count", [1, LARGE])
def test_who_waited_too_long_is_told_and_not_computed(count: int) -> None:
    late = order(count, seconds=-1)
    assert batcher(late).take([16]) == []
    assert isinstance(late.ending.error, DeadlinePassed)


def test_a_large_order_whose_client_goes_is_not_computed_further() -> None:
    large = order(LARGE)
    waiting = batcher(large)
    waiting.take([16])
    large.ending.drop()
    assert waiting.take([16]) == []
    assert not waiting


def test_an_order_without_rows_is_only_finished() -> None:
    asked = order(0, finish=lambda _, results: ("asked", results))
    compute(Doubling(), MODEL, batcher(asked).take([1]))
    assert asked.ending.result() == ("asked", None)


def test_rows_that_cannot_be_made_spoil_one_order_only() -> None:
    def fail(*_: Any) -> Rows:
        raise ValueError("no rows")

    bad, good = order(2), order(2)
    bad.rows = fail
    serve(batcher(bad, good), most_rows=16)
    assert isinstance(bad.ending.error, ValueError)
    assert good.ending.result().tolist() == [0, 2]


def test_an_answer_that_cannot_be_made_spoils_one_order_only() -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no answer")

    bad, good = order(2, finish=fail), order(2)
    serve(batcher(bad, good), most_rows=16)
    assert isinstance(bad.ending.error, ValueError)
    assert good.ending.result().tolist() == [0, 2]


def test_what_goes_wrong_with_the_network_is_told_to_all_of_its_batch() -> None:
    orders = [order(1, first=-1), order(1)]
    serve(batcher(*orders), most_rows=16)
    assert all(isinstance(one.ending.error, ArithmeticError) for one in orders)


def test_an_order_knows_where_its_time_went() -> None:
    timed = order(1, finish=lambda *_: time.sleep(0.01))
    serve(batcher(timed), most_rows=16)
    timed.ending.result()
    assert timed.stages.encode >= 0.01 > timed.stages.compute >= 0
    assert timed.stages.queue >= 0
