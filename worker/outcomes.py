"""How an attempt ended, recorded in its job."""

from collections.abc import Mapping
from functools import partial

from ganmodels.referee.remedies import with_rates
from worker.best import publish
from worker.endings import Ending, Outcome
from worker.failures import conclude
from worker.loop import TrainingDiverged
from worker.refereeing import may_roll_back
from worker.store import Store
from worker.store.claims import Claim
from worker.store.job import Job
from worker.store.records import JobError, Status

_STATUS_AFTER: Mapping[Outcome, Status] = {
    "finished": "succeeded",
    "pause": "paused",
    "cancel": "canceled",
    "interrupt": "queued",
    "fail": "failed",
}
# A match that is rolled back as it was would fail again in the same way, step by step.
_ROLLBACK_FACTOR = 0.5


def record_ending(store: Store, job: Job, claim: Claim, ending: Ending) -> None:
    """Settle the job, or roll it back.

    Raises:
        Fenced: when the attempt was taken over.
        OSError: when the disk is full or fails; nothing was recorded.
    """
    outcome, diagnosis = ending.outcome, ending.diagnosis
    if outcome == "rollback" and diagnosis:
        _roll_back(job, claim, diagnosis.since_step, diagnosis.code)
        return
    error, reason = None, "interrupted" if outcome == "interrupt" else None
    if diagnosis and outcome == "fail":
        code = diagnosis.code.replace("_", "-")
        error = JobError(code=code, detail=diagnosis.detail, step=diagnosis.step)
    elif diagnosis:
        reason = diagnosis.code
    publishing = partial(publish, store, job)
    job.settle(claim, _STATUS_AFTER[outcome], error, reason, ending.stopped_by, publishing)


def record_failure(job: Job, claim: Claim, error: Exception, max_attempts: int) -> None:
    """Settle a job whose training ended with an exception, or roll it back.

    Raises:
        Fenced: when the attempt was taken over.
    """
    if isinstance(error, TrainingDiverged) and may_roll_back(
        job.config().referee, "divergence", job.record().rollbacks
    ):
        _roll_back(job, claim, error.step, "divergence")
    else:
        job.settle(claim, *conclude(error, job, claim, max_attempts))


def _roll_back(job: Job, claim: Claim, since_step: int, reason: str) -> None:
    config = with_rates(job.config(), _ROLLBACK_FACTOR)
    job.roll_back(claim, since_step, config, reason)
