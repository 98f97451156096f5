"""What follows from evaluations: the best checkpoint, and the versions that point at it."""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from ganmodels.referee.evaluation.choice import Best as Choice
from ganmodels.referee.evaluation.choice import best as choose
from ganmodels.referee.findings import Findings
from worker.errors import NotFound
from worker.store import Store
from worker.store.best import Best, read_best, write_best
from worker.store.evaluations import EvaluationRecord, Pending
from worker.store.job import Job
from worker.store.records import JobRecord


def conclude(store: Store, pending: Pending) -> None:
    """Do all that follows from an evaluation that is over, then forget that it was pending.

    In this order: whoever prunes finds a checkpoint among the pending ones or as the best one.
    After a crash all is done again, so that the history may tell an end twice.

    Raises:
        Unavailable: when somebody has been changing the job for too long, or it is damaged.
    """
    evaluation = store.evaluations.at(pending)
    # A job that was deleted has nothing to follow.
    with suppress(FileNotFoundError):
        record = evaluation.record()
        if record.is_pending or not store.evaluations.is_marked(pending):
            return
        with evaluation.job.locked() as state:
            _follow(store, evaluation.job, state, pending)
        _tell(evaluation.job, record)
    store.evaluations.forget(pending)


def publish(store: Store, job: Job) -> None:
    """Point a version of the job's model at its best checkpoint, else at its newest.

    Inside the lock of the job, so that no evaluation changes the best one meanwhile.
    """
    best = _refresh(store, job).best
    chosen = job.checkpoint_by_digest(best.step, best.digest) if best else None
    chosen, model = chosen or job.checkpoint(), job.record().model
    if model and chosen:
        _add_version(store, job, model, chosen.step, chosen.digest)


def competing(store: Store, job: Job) -> dict[int, EvaluationRecord]:
    """Evaluations whose figures mean the same, by step: all measured as the newest one was."""
    asked = store.evaluations.by_own_protocol(job)
    found = {step: record for step, record in asked.items() if record.findings}
    newest = max(found.values(), key=lambda record: record.finished_at or "", default=None)
    return {
        step: record
        for step, record in found.items()
        if newest and _findings(record).protocol == _findings(newest).protocol
    }


def find_best(job: Job, records: Mapping[int, EvaluationRecord]) -> Best | None:
    """The best of competing evaluations; None where the measure was taken of none.

    All are compared, those whose checkpoint is gone too, so that the standard does not slip from
    one checkpoint to the next; but only one that is there can be the best. Where the one so
    chosen is gone, those that are there are compared among themselves.
    """
    measure = job.config().referee.best_by
    measured = {step: r for step, r in records.items() if measure in _findings(r).figures}
    kept = {
        step: record
        for step, record in measured.items()
        if job.checkpoint_by_digest(step, record.checkpoint)
    }
    if not kept:
        return None
    compared, chosen = measured, _choose(measured, measure)
    if chosen.step not in kept:
        compared, chosen = kept, _choose(kept, measure)
    figure = _findings(kept[chosen.step]).figures[measure]
    return Best(
        step=chosen.step,
        digest=kept[chosen.step].checkpoint,
        measure=measure,
        value=figure.value,
        standard_error=figure.standard_error,
        confidence=chosen.confidence,
        among=len(compared),
    )


class _Standing(NamedTuple):
    best: Best | None
    compared: set[str]


def _refresh(store: Store, job: Job) -> _Standing:
    """Find the best again, inside the lock of the job; a later attempt may have made it void."""
    records = competing(store, job)
    before, best = read_best(job), find_best(job, records)
    if best != before:
        write_best(job, best)
    if best and (before is None or best.digest != before.digest):
        told = {"step": best.step, "measure": best.measure, "value": best.value}
        job.events.append("checkpoint.best", told)
    return _Standing(best, {record.checkpoint for record in records.values()})


def _follow(store: Store, job: Job, state: JobRecord, done: Pending) -> None:
    """A further version where the latest was compared with the best checkpoint and is worse.

    Once nothing of the job waits any more: one version for a training, not one for each gain.
    """
    best, compared = _refresh(store, job)
    if best is None or state.status != "succeeded" or state.model is None:
        return
    if any(other.job_id == job.id and other != done for other in store.evaluations.pending()):
        return
    # The model may have been deleted.
    with suppress(NotFound):
        latest = store.models.get(state.model).version(None)
        if latest.job == job.id and latest.checkpoint in compared - {best.digest}:
            _add_version(store, job, state.model, best.step, best.digest)


def _add_version(store: Store, job: Job, model: str, step: int, digest: str) -> None:
    version = store.models.add_version(model, job.id, step, digest)
    job.events.append("model.version", {"model": model, "version": version.version})


def _tell(job: Job, record: EvaluationRecord) -> None:
    told = {"id": record.id, "step": record.step}
    if record.findings:
        figures = {name: figure.value for name, figure in record.findings.figures.items()}
        job.events.append("evaluation.done", {**told, "figures": figures})
    else:
        error = record.error.model_dump(include={"code", "detail"}) if record.error else None
        job.events.append("evaluation.failed", {**told, "error": error})


def _choose(records: Mapping[int, EvaluationRecord], measure: str) -> Choice:
    return choose([(step, _findings(r).figures[measure]) for step, r in records.items()])


def _findings(record: EvaluationRecord) -> Findings:
    assert record.findings is not None, "only those that succeeded compete"
    return record.findings
