"""Ended orders reach the event loop: those of a batch at once, a lone one without delay."""

import asyncio
from typing import Any

from service.engine.orders import Ending
from service.engine.outbox import Outbox

SOON = 5.0


def orders(count: int) -> list[Ending[Any]]:
    return [Ending() for _ in range(count)]


def test_all_orders_of_a_batch_are_told_of_when_it_is_sent() -> None:
    async def wait() -> list[None]:
        outbox, batch = Outbox(), orders(64)
        waiters = [outbox.expect(order) for order in batch]

        def compute() -> None:
            for order in batch:
                order.answer("done")
            outbox.send()

        await asyncio.to_thread(compute)
        return await asyncio.wait_for(asyncio.gather(*waiters), SOON)

    assert len(asyncio.run(wait())) == 64


def test_a_batch_wakes_the_loop_a_few_times_at_most() -> None:
    async def wakes() -> int:
        outbox, batch, loop = Outbox(), orders(64), asyncio.get_running_loop()
        waiters = [outbox.expect(order) for order in batch]
        calls, wake = [], loop.call_soon_threadsafe

        def counted(*given: Any, **options: Any) -> Any:
            calls.append(given)
            return wake(*given, **options)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        outbox.send()
        for order in batch:
            order.answer("done")
        outbox.send()
        await asyncio.wait_for(asyncio.gather(*waiters), SOON)
        return len(calls)

    assert asyncio.run(wakes()) < 64 / 4


def test_the_first_order_after_a_pause_does_not_wait_for_the_rest() -> None:
    async def wait() -> None:
        outbox, (first, second) = Outbox(), orders(2)
        waiter, other = outbox.expect(first), outbox.expect(second)
        await asyncio.to_thread(first.answer, "done")
        await asyncio.wait_for(waiter, SOON)
        assert not other.done()

    asyncio.run(wait())


def test_an_order_that_fails_or_is_dropped_is_told_of_too() -> None:
    async def wait() -> None:
        outbox, (failed, dropped, forgotten) = Outbox(), orders(3)
        waiters = [outbox.expect(order) for order in (failed, dropped, forgotten)]
        outbox.forget(forgotten)
        failed.fail(ValueError("bad"))
        dropped.drop()
        forgotten.drop()
        outbox.send()
        await asyncio.wait_for(asyncio.gather(*waiters[:2]), SOON)
        assert not waiters[2].done()

    asyncio.run(wait())
