"""The tables of a report: evaluations, checkpoints, warnings, events."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ganmodels.referee.config import Measure
from ganmodels.referee.findings import Figure
from service.plots.evaluations import Best, Evaluation
from service.plots.protocols import by_protocol, figure_names
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt
from worker.store.events import Event

MOST_COLUMNS, MOST_EVENTS = 5, 200
_MOST_DECIMALS, _MOST_WORDS = 8, 400
# What tables of their own tell, or pictures.
_NOT_TOLD = frozenset({"log_tail", "figures"})
_BETTER = {"lower": "lower", "higher": "higher", "half": "0.5"}
_TOLD_ELSEWHERE = frozenset({"job.metrics", "preview.created", "checkpoint.created"})


class FigureRow(NamedTuple):
    """One figure of several evaluations: ``values`` with their errors, one for each step."""

    name: str
    better: str
    values: tuple[str, ...]
    floor: str


class EvaluationTable(NamedTuple):
    """Evaluations of one protocol: only these can be compared; ``earlier`` more are left out."""

    protocol: str
    steps: tuple[int, ...]
    rows: tuple[FigureRow, ...]
    left_out: Mapping[Measure, str]
    earlier: int


class CheckpointRow(NamedTuple):
    """A checkpoint that is kept."""

    reference: str
    step: int
    images_seen: int
    created_at: str
    digest: str
    mebibytes: str
    best: bool


class Diagnosed(NamedTuple):
    """A diagnosis that holds now. ``patch``: a JSON merge patch, or an empty string."""

    code: str
    since: str
    confidence: str
    detail: str
    evidence: tuple[tuple[str, str], ...]
    remedy: str
    patch: str


class Told(NamedTuple):
    """An event in words."""

    at: str
    type: str
    words: str


def evaluation_tables(evaluations: Sequence[Evaluation]) -> list[EvaluationTable]:
    """A table for each protocol, of its newest evaluations."""
    return [_table(text, chosen) for text, chosen in by_protocol(evaluations).items()]


def _table(protocol: str, evaluations: Sequence[Evaluation]) -> EvaluationTable:
    shown = evaluations[-MOST_COLUMNS:]
    findings = [evaluation.findings for evaluation in shown if evaluation.findings]
    rows = []
    for name in figure_names(shown):
        figures = [found.figures.get(name) for found in findings]
        newest = next(figure for figure in reversed(figures) if figure)
        values = tuple(with_error(figure) if figure else "" for figure in figures)
        floor = "" if newest.floor is None else _plain(newest.floor)
        rows.append(FigureRow(name.replace("_", " "), _BETTER[newest.better], values, floor))
    return EvaluationTable(
        protocol,
        tuple(evaluation.step for evaluation in shown),
        tuple(rows),
        dict(findings[-1].left_out) if findings else {},
        len(evaluations) - len(shown),
    )


def with_error(figure: Figure) -> str:
    """A value to as many decimals as its standard error has two significant ones."""
    value, error = figure.value, figure.standard_error
    bound = "\N{GREATER-THAN OR EQUAL TO} " if figure.at_least else ""
    if error is None or not 0 < error < math.inf:
        return bound + _plain(value)
    decimals = min(_MOST_DECIMALS, max(0, 1 - math.floor(math.log10(error))))
    return f"{bound}{value:.{decimals}f} \N{PLUS-MINUS SIGN} {error:.{decimals}f}"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def checkpoint_rows(checkpoints: Sequence[Checkpoint], best: Best | None) -> list[CheckpointRow]:
    """Those that can be read, by step."""
    return list(_checkpoint_rows(checkpoints, best))


def _checkpoint_rows(
    checkpoints: Sequence[Checkpoint], best: Best | None
) -> Iterator[CheckpointRow]:
    for checkpoint in checkpoints:
        # Damaged, or pruned just now; the others are still worth listing.
        with suppress(CheckpointCorrupt):
            manifest = checkpoint.manifest
            yield CheckpointRow(
                reference=f"{manifest.job}:{manifest.step}",
                step=manifest.step,
                images_seen=manifest.images_seen,
                created_at=manifest.created_at,
                digest=checkpoint.digest,
                mebibytes=f"{checkpoint.size_bytes / 2**20:.1f}",
                best=best is not None and best.digest == checkpoint.digest,
            )


def diagnosed(health: Mapping[str, Any]) -> list[Diagnosed]:
    """The diagnoses that hold now, the surest first as the referee gives them."""
    return [_diagnosed(entry) for entry in health.get("diagnoses") or [] if isinstance(entry, dict)]


def _diagnosed(entry: Mapping[str, Any]) -> Diagnosed:
    remedy = entry.get("remedy") or {}
    since, confidence = entry.get("since_step"), entry.get("confidence")
    evidence = entry.get("evidence") or {}
    return Diagnosed(
        code=str(entry.get("code", "")),
        since=f"{since:,}" if isinstance(since, int) else "",
        confidence=f"{confidence:.2g}" if isinstance(confidence, float) else str(confidence or ""),
        detail=str(entry.get("detail", "")),
        evidence=tuple(
            (name, _scalar(value)) for name, value in evidence.items() if value is not None
        ),
        remedy=str(remedy.get("detail", "")),
        patch=json.dumps(remedy["patch"], indent=1) if remedy.get("patch") else "",
    )


def told(events: Iterator[Event]) -> list[Told]:
    """What happened, oldest first, but for what tables of their own tell."""
    kept: list[Event] = []
    for event in events:
        if event.type not in _TOLD_ELSEWHERE:
            kept.append(event)
        # Twice as many as needed at most are held.
        if len(kept) >= 2 * MOST_EVENTS:
            kept = kept[-MOST_EVENTS:]
    return [Told(event.at, event.type, _words(event.data)) for event in kept[-MOST_EVENTS:]]


def _words(data: Mapping[str, Any], depth: int = 2) -> str:
    parts = [
        f"{name.replace('_', ' ')}: {_value(value, depth)}"
        for name, value in data.items()
        if value not in (None, [], {}, "") and name not in _NOT_TOLD
    ]
    return "; ".join(parts)[:_MOST_WORDS]


def _value(value: object, depth: int) -> str:
    if isinstance(value, dict):
        return f"({_words(value, depth - 1)})" if depth else "(...)"
    return _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
