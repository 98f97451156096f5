"""The engine: a few model threads behind a bounded queue."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from starlette.requests import Request

from service.engine.models import LoadedModel, ModelCache
from service.problems import Problem
from worker.settings import Settings
from worker.store.checkpoints import Checkpoint

Answer = TypeVar("Answer")


class Engine:
    """Runs work on loaded models; refuses work when too much of it waits."""

    def __init__(self, settings: Settings) -> None:
        # Several requests share the cores by threads of ours, not by torch's.
        torch.set_num_threads(1)
        self._cache = ModelCache(settings.model_cache_bytes)
        self._threads = ThreadPoolExecutor(settings.sample_threads, "model")
        self._limit = settings.max_waiting_requests
        self._places = threading.BoundedSemaphore(self._limit)
        self._timeout_seconds = settings.request_timeout_seconds

    async def run(
        self, request: Request, checkpoint: Checkpoint, work: Callable[[LoadedModel], Answer]
    ) -> Answer:
        """What ``work`` makes of the model of a checkpoint, in a model thread.

        Work that still waits when its client goes is dropped, and its place is free again.

        Raises:
            Problem: when too many requests wait, or this one took too long.
        """
        if not self._places.acquire(blocking=False):
            raise Problem("overloaded", f"{self._limit} requests are waiting; try again later")
        future = self._threads.submit(lambda: work(self._cache.get(checkpoint)))
        future.add_done_callback(lambda _: self._places.release())
        working = asyncio.wrap_future(future)
        leaving = asyncio.ensure_future(_gone(request))
        either: set[asyncio.Future[Any]] = {working, leaving}
        try:
            await asyncio.wait(
                either, timeout=self._timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if leaving.done():
                leaving.result()
                raise Problem("client-gone", "the client closed the connection")
            raise Problem(
                "deadline-exceeded",
                f"the answer was not ready after {self._timeout_seconds:g} seconds; try again "
                "later or ask for less",
            )
        finally:
            leaving.cancel()
            # Out of the queue, and the place is free now; work that has begun goes on to its end.
            future.cancel()
            working.cancel()

    def close(self) -> None:
        """Let running work end; drop what waits."""
        self._threads.shutdown(wait=True, cancel_futures=True)


async def _gone(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
