"""How an attempt ended, recorded in its job."""

from collections.abc import Mapping
from functools import partial

from ganmodels.referee.config import Failure
from ganmodels.referee.health import Diagnosis
from worker.best import publish
from worker.endings import Ending, Outcome, TrainingDiverged
from worker.failures import conclude
from worker.refereeing import may_roll_back
from worker.store import Store
from worker.store.claims import Claim
from worker.store.job import Job
from worker.store.records import JobError, Status, StoppedBy

_STATUS_AFTER: Mapping[Outcome, Status] = {
    "finished": "succeeded",
    "pause": "paused",
    "cancel": "canceled",
    "interrupt": "queued",
    "fail": "failed",
}


def record_ending(store: Store, job: Job, claim: Claim, ending: Ending) -> None:
    """Settle the job, or roll it back.

    Raises:
        Fenced: when the attempt was taken over.
        OSError: when the disk is full or fails; nothing was recorded.
    """
    outcome, diagnosis = ending.outcome, ending.diagnosis
    if outcome == "rollback" and diagnosis:
        _roll_back(job, claim, diagnosis.code, _failure(diagnosis, diagnosis.since_step))
        return
    error, reason = None, "interrupted" if outcome == "interrupt" else None
    if diagnosis and outcome == "fail":
        error = _failure(diagnosis, diagnosis.step)
    elif diagnosis:
        reason = diagnosis.code
    publishing = partial(publish, store, job)
    job.settle(claim, _STATUS_AFTER[outcome], error, reason, _stopped_by(ending), publishing)


def record_failure(job: Job, claim: Claim, error: Exception, max_attempts: int) -> None:
    """Settle a job whose training ended with an exception, or roll it back.

    Raises:
        Fenced: when the attempt was taken over.
    """
    if isinstance(error, TrainingDiverged) and may_roll_back(
        job.config().referee, "divergence", job.record().rollbacks
    ):
        failure = JobError(code="divergence", detail=str(error), step=error.step)
        _roll_back(job, claim, "divergence", failure)
    else:
        job.settle(claim, *conclude(error, job, claim, max_attempts))


def _stopped_by(ending: Ending) -> StoppedBy | None:
    """The rule, or the warning, that ended the training."""
    diagnosis = ending.diagnosis
    if diagnosis is None:
        return ending.stopped_by
    return StoppedBy(rule=diagnosis.code, detail=diagnosis.detail, step=diagnosis.step)


def _failure(diagnosis: Diagnosis, step: int) -> JobError:
    detail = f"{diagnosis.detail}; referee.on_warning ends the training for it"
    return JobError(code=diagnosis.code.replace("_", "-"), detail=detail, step=step)


def _roll_back(job: Job, claim: Claim, reason: Failure, failure: JobError) -> None:
    """Go back to the last checkpoint from before a failure; ``failure.step`` is where it began.

    Where there were checkpoints and none is old enough, nothing is begun again: the job fails.
    """
    steps = [checkpoint.step for checkpoint in job.checkpoints()]
    before = [step for step in steps if step < (failure.step or 0)]
    if steps and not before:
        detail = f"{failure.detail}; no checkpoint from before it is kept to roll back to"
        job.settle(claim, "failed", failure.model_copy(update={"detail": detail}))
    else:
        job.roll_back(claim, before[-1] if before else 0, reason)
