"""What evaluations left in a job's directory; the one file here that knows how they lie there.

jobs/<id>/best.json
          evaluations/<ev_id>/evaluation.json  [neighbours.png]  [scores.json]
"""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ganmodels.referee.findings import Findings
from worker.store.epochs import Epoch
from worker.store.files import read_regular
from worker.store.job import Job

_MOST_JSON_BYTES, _MOST_PICTURE_BYTES = 4 << 20, 64 << 20


_Read = TypeVar("_Read", bound="_Record")


class _Record(BaseModel):
    """Part of a record that others write; what they add later does not matter here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Evaluation(_Record):
    """One evaluation of a checkpoint."""

    id: str
    step: int
    epoch: int | None = None
    findings: Findings | None = None
    created_at: str = ""
    finished_at: str | None = None


class Best(_Record):
    """The best checkpoint: by which measure, and how sure that is, in a sentence.

    ``digest``: of its manifest; a later attempt may have made its step again.
    """

    step: int
    digest: str = ""
    measure: str = ""
    value: float | None = None
    standard_error: float | None = None
    confidence: str = ""


class Scores(_Record):
    """Counts or shares of discriminator logits in common bins; ``edges`` is one longer."""

    edges: tuple[float, ...]
    training: tuple[float, ...] = ()
    held_out: tuple[float, ...] = ()
    fake: tuple[float, ...] = ()


class Scored(NamedTuple):
    """Histograms of logits, and the evaluation that they are of."""

    evaluation: Evaluation
    scores: Scores


class Sheet(NamedTuple):
    """A PNG of real, generated and nearest training images, and the evaluation that it is of."""

    evaluation: Evaluation
    picture: bytes


def read_evaluations(job: Job) -> tuple[Evaluation, ...]:
    """Those that succeeded and that no later attempt made void, by the time they ended."""
    return tuple(evaluation for _, evaluation in _succeeded(job))


def read_best(job: Job) -> Best | None:
    """The best checkpoint that is known."""
    return _read(job.path / "best.json", Best)


def read_scores(job: Job) -> Scored | None:
    """The newest evaluation that has histograms of logits, and those."""
    for directory, evaluation in reversed(_succeeded(job)):
        if scores := _read(directory / "scores.json", Scores):
            return Scored(evaluation, scores)
    return None


def read_neighbours(job: Job) -> Sheet | None:
    """The newest evaluation that has a sheet of nearest training images, and that."""
    for directory, evaluation in reversed(_succeeded(job)):
        with suppress(FileNotFoundError):
            picture = read_regular(directory / "neighbours.png", _MOST_PICTURE_BYTES)
            return Sheet(evaluation, picture)
    return None


def versions(job: Job) -> list[tuple[object, ...]]:
    """What changes whenever a file of an evaluation, or the best, does."""
    files = [job.path / "best.json", *(file for d in _directories(job) for file in d.iterdir())]
    return [(path.parent.name, path.name, *_version(path)) for path in sorted(files)]


def _version(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _succeeded(job: Job) -> list[tuple[Path, Evaluation]]:
    read = [(path, _read(path / "evaluation.json", Evaluation)) for path in _directories(job)]
    epochs = {epoch.number: epoch for epoch in job.epochs()}
    done = [
        (path, found)
        for path, found in read
        if found and found.findings and _counts(found, epochs.get(found.epoch or 0))
    ]
    return sorted(done, key=lambda pair: (pair[1].finished_at or pair[1].created_at, pair[0]))


def _counts(evaluation: Evaluation, epoch: Epoch | None) -> bool:
    return epoch is None or epoch.holds(evaluation.step)


def _directories(job: Job) -> list[Path]:
    return [path for path in (job.path / "evaluations").glob("ev_*") if path.is_dir()]


def _read(path: Path, kind: type[_Read]) -> _Read | None:
    """None where there is nothing, or nothing to be understood: the rest is still worth it."""
    try:
        return kind.model_validate_json(read_regular(path, _MOST_JSON_BYTES))
    except (FileNotFoundError, ValidationError):
        return None
