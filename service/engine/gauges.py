"""What the engine tells Prometheus. Labels come from fixed sets."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.engine.orders import Stages

_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
_ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Gauges:
    """Measurements of orders, batches, models and answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count_orders(registry)
        self._count_answers(registry)
        self.model_loads = Counter(
            "ringside_model_loads", "Models read from disk", registry=registry
        )
        self.model_bytes = Gauge(
            "ringside_model_cache_bytes",
            "Size of the weights in memory",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def _count_orders(self, registry: CollectorRegistry) -> None:
        self._stage_seconds = Histogram(
            "ringside_inference_stage_seconds",
            "Time of an order in a stage: waiting, with the network, being encoded",
            ("operation", "stage"),
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        # Finding a labelled measurement takes longer than to note something in it.
        self._stages = cache(self._find_stages)
        self._batch_rows = Histogram(
            "ringside_inference_batch_rows",
            "Rows that were computed together",
            ("operation",),
            buckets=_ROW_BUCKETS,
            registry=registry,
        )
        self.waiting = Gauge(
            "ringside_inference_waiting_requests",
            "Requests that have a place with the engine",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def _count_answers(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "ringside_inference_refused",
            "Requests that the engine did not answer",
            ("reason",),
            registry=registry,
        )
        answers = Counter(
            "ringside_sample_answers",
            "Answers to GET /sample by where they came from: drawn, kept, or not_modified",
            ("source",),
            registry=registry,
        )
        self._answers_from = cache(answers.labels)

    def note_order(self, operation: str, stages: Stages) -> None:
        """An order that was answered."""
        for of_stage, seconds in zip(self._stages(operation), stages, strict=True):
            of_stage.observe(seconds)

    def _find_stages(self, operation: str) -> tuple[Histogram, ...]:
        return tuple(self._stage_seconds.labels(operation, stage) for stage in Stages._fields)

    def note_batch(self, operation: str, rows: int) -> None:
        """A batch that was computed."""
        self._batch_rows.labels(operation).observe(rows)

    def note_refusal(self, reason: str) -> None:
        """A request that was not answered, by why: ``overloaded``, ``out-of-memory``,
        ``too-late`` or ``client-gone``.
        """
        self._refused.labels(reason).inc()

    def note_answer(self, source: str) -> None:
        """An answer of ``GET /sample``."""
        self._answers_from(source).inc()
