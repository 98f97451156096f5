"""All that is drawn of a job, read from its directory once."""

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from service.plots.evaluations import (
    Best,
    Evaluation,
    Scored,
    read_best,
    read_evaluations,
    read_scores,
    versions,
)
from service.plots.rows import Rows
from service.plots.spans import Span, read_spans
from service.thinning import thin
from worker.store.job import Job

_MOST_POINTS, _MOST_KEPT = 2_000, 4
_LIBRARIES = ("ringside", "matplotlib", "pillow")


class History(NamedTuple):
    """Metrics, warnings, evaluations and the best checkpoint of a job."""

    rows: Rows = Rows()
    spans: tuple[Span, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    best: Best | None = None
    scored: Scored | None = None

    @property
    def end(self) -> float:
        """The last step that anything is known of; 1 where there is nothing."""
        steps = [float(row["step"]) for row in self.rows.rows[-1:]]
        steps += [float(evaluation.step) for evaluation in self.evaluations]
        steps += [float(span.ended_at or span.warned_at) for span in self.spans]
        return max(steps, default=1.0)

    def end_of(self, span: Span) -> float:
        """The step at which a warning ends, or everything does."""
        return self.end if span.ended_at is None else float(span.ended_at)

    @property
    def images_per_step(self) -> float | None:
        """How many real images one step shows the discriminator."""
        if not self.rows.rows:
            return None
        last = self.rows.rows[-1]
        images, step = last.get("images_seen"), last["step"]
        return images / step if images and step else None


def read_history(job: Job) -> History:
    """The history of a job as it is now; what a later attempt made void is left out.

    The last four that were asked for are kept: files of a million rows take seconds to read.
    """
    return _read(job.path, fingerprint(job))


@lru_cache(_MOST_KEPT)
def _read(path: Path, fingerprint: str) -> History:
    job = Job(path)
    return History(
        Rows(thin(job.metrics(), _MOST_POINTS).rows),
        read_spans(job.events.after(0)),
        read_evaluations(job),
        read_best(job),
        read_scores(job),
    )


def fingerprint(job: Job) -> str:
    """Changes whenever a picture of the job may: what is drawn, or what it is drawn with."""
    parts: list[Any] = [job.id, job.events.size, *map(version, _LIBRARIES), versions(job)]
    for epoch in job.epochs():
        rows = epoch.path / "metrics.jsonl"
        parts.append((epoch.number, epoch.end, rows.stat().st_size if rows.exists() else 0))
    parts.append([(step, path.stat().st_size) for step, path in job.previews().items()])
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
