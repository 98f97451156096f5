"""Metrics for Prometheus: requests as they end, jobs as they are when scraped.

Labels come from fixed sets; a job's id or a model's name is never one.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import get_args

from prometheus_client import CollectorRegistry, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.store import Store
from worker.store.records import Status

# Where set, prometheus_client keeps every value in a file of this directory.
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RequestTimes:
    """How long requests took, by method, route and status."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "ringside_http_request_duration_seconds",
            "Time to answer a request",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=registry,
        )
        # Finding a labelled measurement takes longer than to note something in it.
        self._of = cache(self._seconds.labels)

    def note(self, scope: Scope, status: int, seconds: float) -> None:
        """A request whose answer has ended."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        self._of(method, route, status).observe(seconds)


class Telemetry:
    """Times requests from their headers to the end of their answers, but those of the short way."""

    def __init__(self, app: ASGIApp, times: RequestTimes) -> None:
        self._app, self._times = app, times

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def watch(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            self._times.note(scope, status, time.perf_counter() - started)


def exposition(registry: CollectorRegistry, store: Store) -> bytes:
    """All measurements as Prometheus reads them, of all processes where there are several."""
    if _SHARED in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(JobsCollector(store))
    return generate_latest(registry)


class JobsCollector(Collector):
    """How many jobs are in each state."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Count now."""
        gauge = GaugeMetricFamily("ringside_jobs", "Jobs by status", labels=["status"])
        counted = Counter(record.status for _, record in self._store.jobs.records())
        for status in get_args(Status):
            gauge.add_metric([status], counted[status])
        yield gauge
