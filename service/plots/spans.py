"""Warnings of the referee as stretches of the training, read off a job's events."""

from collections.abc import Iterable
from typing import NamedTuple

from worker.store.events import Event


class Span(NamedTuple):
    """A warning: told at ``warned_at``, true from ``since``, over at ``ended_at`` (None: not yet).

    All are steps.
    """

    code: str
    since: int
    warned_at: int
    ended_at: int | None = None


def read_spans(events: Iterable[Event]) -> tuple[Span, ...]:
    """The warnings that count, oldest first.

    An attempt that goes on from an earlier step makes what was said beyond that step void: its
    first row of metrics is at or before the steps of those warnings.
    """
    spans: list[Span] = []
    latest = 0
    for event in events:
        step = event.data.get("step")
        if event.type == "job.metrics" and isinstance(step, int):
            spans = _void(spans, step) if step <= latest else spans
            latest = step
        # Other warnings, of a queue that is away, are not about a step.
        elif event.type == "job.warning" and isinstance(step, int):
            spans = _open(spans, event, step)
        elif event.type == "job.warning_ended":
            # Told right after the row of metrics that shows it.
            spans = [_end(span, event.data.get("code"), latest) for span in spans]
    return tuple(spans)


def _open(spans: list[Span], event: Event, step: int) -> list[Span]:
    code, since = str(event.data.get("code", "")), event.data.get("since_step")
    if any(span.code == code and span.ended_at is None for span in spans):
        return spans
    return [*spans, Span(code, min(since, step) if isinstance(since, int) else step, step)]


def _end(span: Span, code: object, step: int) -> Span:
    is_meant = span.code == code and span.ended_at is None
    return span._replace(ended_at=max(step, span.since)) if is_meant else span


def _void(spans: list[Span], step: int) -> list[Span]:
    """What is left of the warnings when history goes on at a row of this step."""
    return [
        span._replace(ended_at=None)
        if span.ended_at is not None and span.ended_at >= step
        else span
        for span in spans
        if span.warned_at < step
    ]
