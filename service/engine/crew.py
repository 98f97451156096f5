"""The crew: a few model threads that serve whatever waits, model by model in turn."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from service.engine.batcher import Batcher, compute
from service.engine.gauges import Gauges
from service.engine.models import LoadedModel, ModelCache
from service.engine.orders import Operation, Order
from worker.store.checkpoints import Checkpoint

_EVERYTHING = (2**31,)


class Station(NamedTuple):
    """What one batcher serves."""

    checkpoint: Checkpoint
    operation: Operation
    batcher: Batcher


class Crew:
    """Threads that take all that waits for a network as soon as one of them is free.

    No order waits for others to come. Networks that are wanted at once are served in turn; while a
    model is being loaded by one thread, another rather serves those that are in memory.
    """

    def __init__(
        self, models: ModelCache, threads: int, gauges: Gauges, told: Callable[[], object]
    ) -> None:
        """``told`` is called whenever orders may have ended."""
        self._models, self._gauges, self._told = models, gauges, told
        self._stations: OrderedDict[tuple[str, Operation], Station] = OrderedDict()
        self._changed = threading.Condition()
        self._loading = 0
        self._open = True
        self._threads = [
            threading.Thread(target=self._serve, name=f"model_{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, checkpoint: Checkpoint, order: Order[Any]) -> None:
        """Queue an order for the model of a checkpoint."""
        key = (checkpoint.digest, order.operation)
        with self._changed:
            if self._open:
                if key not in self._stations:
                    self._stations[key] = Station(checkpoint, order.operation, Batcher())
                self._stations[key].batcher.add(order)
                self._changed.notify()
                return
        order.ending.drop()
        self._told()

    def close(self) -> None:
        """Let running batches end; drop what waits."""
        with self._changed:
            self._open = False
            for station in self._stations.values():
                for piece in station.batcher.take(_EVERYTHING):
                    piece.order.ending.drop()
            self._changed.notify_all()
        self._told()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while station := self._next():
            try:
                self._serve_batch(station)
            # The model cannot be loaded: all who want it are told, and the thread goes on.
            except BaseException as error:
                with self._changed:
                    refused = station.batcher.take(_EVERYTHING)
                for piece in refused:
                    piece.order.ending.fail(error)
            self._told()

    def _serve_batch(self, station: Station) -> None:
        with self._leased(station.checkpoint) as model:
            with self._changed:
                slices = station.batcher.take(station.operation.batch_sizes(model))
                if station.batcher:
                    self._changed.notify()
            if slices:
                rows = compute(station.operation, model, slices)
                self._gauges.note_batch(station.operation.name, rows)

    @contextmanager
    def _leased(self, checkpoint: Checkpoint) -> Iterator[LoadedModel]:
        """The model, in memory as long as it is used."""
        if self._models.holds(checkpoint.digest):
            with self._models.lease(checkpoint) as model:
                yield model
            return
        with ExitStack() as leases:
            with self._load():
                model = leases.enter_context(self._models.lease(checkpoint))
            yield model

    @contextmanager
    def _load(self) -> Iterator[None]:
        with self._changed:
            self._loading += 1
        try:
            yield
        finally:
            with self._changed:
                self._loading -= 1
                self._changed.notify_all()

    def _next(self) -> Station | None:
        """What to serve next; waits for it. None when it is time to go home."""
        with self._changed:
            while self._open:
                if station := self._choose():
                    return station
                self._changed.wait()
        return None

    def _choose(self) -> Station | None:
        """The station that was not served for longest, of those that can be served at once."""
        for key, station in list(self._stations.items()):
            if not station.batcher:
                del self._stations[key]
            elif not self._loading or self._models.holds(key[0]):
                self._stations.move_to_end(key)
                return station
        return None
