"""The engine: model threads behind a bounded queue, and what a request gets of them."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from starlette.requests import Request

from ganmodels.machine import is_out_of_memory
from ganmodels.preparation import be_repeatable, kind_of_machine
from service.engine.answers import AnswerCache
from service.engine.crew import Crew
from service.engine.desk import Desk
from service.engine.gauges import Gauges
from service.engine.models import LoadedModel, ModelCache, sampling_device
from service.engine.operations import Ask
from service.engine.orders import DeadlinePassed, Dropped, Operation, Order, Rows, Stages
from service.engine.outbox import Outbox
from service.engine.watch import ClientGone, Watch
from service.problems import Problem
from worker.settings import Settings
from worker.store.checkpoints import Checkpoint

log = logging.getLogger("ringside.api")

Answer = TypeVar("Answer")


class Done(NamedTuple, Generic[Answer]):
    """An answer, and where its time went."""

    answer: Answer
    stages: Stages


class Engine:
    """Answers orders for models; refuses some when too many wait.

    ``kind_of_machine`` says on what bytes depend beside model and request.

    Raises:
        DeviceUnavailable: when the device of the settings is not there.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        device = sampling_device(settings)
        # Several requests share the cores by threads of ours, not by torch's.
        be_repeatable(device)
        self.kind_of_machine = kind_of_machine(device)
        self.gauges = Gauges(registry)
        self.models = ModelCache(settings.model_cache_bytes, device, self._note_load)
        self._outbox, self._watch = Outbox(), Watch()
        self._crew = Crew(self.models, settings.sample_threads, self.gauges, self._outbox.send)
        self._desk = Desk(max(1, settings.sample_threads // 2), self._outbox.send)
        self.answers = AnswerCache(settings.answer_cache_bytes)
        self._limit = settings.max_waiting_requests
        self._taken_places = 0
        self._timeout_seconds = settings.request_timeout_seconds

    async def run(
        self,
        request: Request,
        checkpoint: Checkpoint,
        work: Callable[[LoadedModel], Answer],
        takes_long: bool = False,
    ) -> Done[Answer]:
        """What ``work`` makes of the model of a checkpoint, without computing any rows.

        Raises:
            Problem: as ``order``.
        """

        def finish(model: LoadedModel, _: object) -> Answer:
            return work(model)

        return await self.order(request, checkpoint, Ask(), 0, _no_rows, finish, takes_long)

    async def order(
        self,
        request: Request,
        checkpoint: Checkpoint,
        operation: Operation,
        count: int,
        rows: Callable[[LoadedModel, int, int], Rows],
        finish: Callable[[LoadedModel, Any], Answer],
        takes_long: bool = False,
    ) -> Done[Answer]:
        """What ``finish`` makes of ``count`` rows, computed by the model of a checkpoint.

        ``takes_long``: whether ``finish`` may take more time than others should wait for. An order
        that still waits when its client goes is dropped, and its place is free again.

        Raises:
            Problem: when too many requests wait, or this one took too long.
        """
        with self._place():
            deadline = time.monotonic() + self._timeout_seconds
            aside = self._desk.finish if takes_long else None
            order = Order(operation, count, rows, finish, deadline, aside)
            answer = await self._answer(request, checkpoint, order)
        self.gauges.note_order(operation.name, order.stages)
        return Done(answer, order.stages)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._taken_places == self._limit:
            self.gauges.note_refusal("overloaded")
            raise Problem("overloaded", f"{self._limit} requests are waiting; try again later")
        self._taken_places += 1
        self.gauges.waiting.inc()
        try:
            yield
        finally:
            self._taken_places -= 1
            self.gauges.waiting.dec()

    def _note_load(self, model_bytes: int) -> None:
        self.gauges.model_loads.inc()
        self.gauges.model_bytes.set(model_bytes)

    async def _answer(
        self, request: Request, checkpoint: Checkpoint, order: Order[Answer]
    ) -> Answer:
        ended = self._outbox.expect(order.ending)
        self._watch.begin(ended, request, order.deadline)
        try:
            self._crew.submit(checkpoint, order)
            await ended
            return order.ending.result()
        except DeadlinePassed:
            raise self._too_late() from None
        except ClientGone:
            self.gauges.note_refusal("client-gone")
            raise Problem("client-gone", "the client closed the connection") from None
        except (MemoryError, RuntimeError, OSError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("out of memory: %s", error)
            self.gauges.note_refusal("out-of-memory")
            detail = "memory ran out; try again later or ask for less"
            raise Problem("out-of-memory", detail) from None
        except Dropped:
            raise Problem("overloaded", "the service is stopping; try again later") from None
        finally:
            self._watch.end(ended)
            # Out of the queue; work that has begun goes on to its end.
            self._outbox.forget(order.ending)
            order.ending.drop()

    def _too_late(self) -> Problem:
        self.gauges.note_refusal("too-late")
        return Problem(
            "deadline-exceeded",
            f"the answer was not ready after {self._timeout_seconds:g} seconds; try again later or "
            "ask for less",
        )

    def close(self) -> None:
        """Let running work end; drop what waits."""
        self._crew.close()
        self._desk.close()


def _no_rows(model: LoadedModel, start: int, stop: int) -> Rows:
    return ()
