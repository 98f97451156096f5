"""What becomes of a job whose training ended with an exception."""

import logging
from contextlib import suppress

import torch

from ganmodels.data.errors import DataError
from ganmodels.games.recorded import RecordingFailed
from worker.endings import FollowerLost, TrainingDiverged
from worker.engine import DeviceUnavailable
from worker.errors import Corrupt, NotFound, Unavailable
from worker.shortage import OutOfMemory
from worker.storage import is_storage_trouble, loss_of_storage
from worker.store.checkpoints import CheckpointCorrupt
from worker.store.claims import Claim
from worker.store.epochs import Loss
from worker.store.job import Job
from worker.store.records import JobError, Status

log = logging.getLogger("ringside.training")

Conclusion = tuple[Status, JobError | None]


def conclude(error: Exception, job: Job, claim: Claim, max_attempts: int) -> Conclusion:
    """How the job is to be settled: failed, or to go on when what was wrong has passed."""
    if isinstance(error, OSError) and is_storage_trouble(error):
        log.warning("%s: %s", job.id, error)
        loss = loss_of_storage(job, error)
        return _after(loss, job, claim, max_attempts, "paused")
    if isinstance(error, torch.AcceleratorError):
        log.exception("%s: the GPU failed", job.id)
        # This process can use it no more; the next one may.
        loss = Loss(code="device-failed", detail="the GPU failed; the log says how")
        return _after(loss, job, claim, max_attempts, "queued")
    if isinstance(error, Unavailable) and not isinstance(error, Corrupt):
        log.warning("%s: %s", job.id, error)
        loss = Loss(code="store-busy", detail=error.detail)
        return _after(loss, job, claim, max_attempts, "queued")
    if isinstance(error, FollowerLost):
        log.warning("%s: a process of it was lost: %s", job.id, error)
        return _after(error.loss, job, claim, max_attempts, "queued")
    if isinstance(error, RecordingFailed):
        log.exception("%s: steps are played one by one from now on", job.id)
        with job.locked() as record:
            job.change(record, graphs_failed=str(error))
        loss = Loss(code="recording-failed", detail=f"steps could not be recorded: {error}")
        return _after(loss, job, claim, max_attempts, "queued")
    return "failed", _reason(error, job)


def _after(loss: Loss, job: Job, claim: Claim, max_attempts: int, status: Status) -> Conclusion:
    """To go on later, unless this has happened too often."""
    claim.use_reserve()
    # On a full disk the state of the job is what must be written before all.
    with suppress(OSError):
        claim.epoch.note_loss(loss)
    if verdict := job.verdict(loss, max_attempts):
        return "failed", verdict
    return status, JobError(code=loss.code, detail=loss.detail) if status == "paused" else None


def _reason(error: Exception, job: Job) -> JobError:
    if isinstance(error, TrainingDiverged):
        return _diverged(error, job)
    if isinstance(error, NotFound | DataError):
        return JobError(code=error.code.replace("_", "-"), detail=error.detail)
    if isinstance(error, DeviceUnavailable):
        return JobError(code="device-unavailable", detail=str(error))
    if isinstance(error, CheckpointCorrupt):
        return JobError(code="checkpoint-unrecoverable", detail=str(error))
    if isinstance(error, OutOfMemory):
        return JobError(code="out-of-memory", detail=str(error), memory=error.lacked)
    log.error("%s failed", job.id, exc_info=error)
    return JobError(
        code="internal", detail=f"{type(error).__name__}; the log of the job says where"
    )


def _diverged(error: TrainingDiverged, job: Job) -> JobError:
    newest = job.checkpoint()
    kept = f"the checkpoint of step {newest.step} is intact" if newest else "none was saved before"
    return JobError(code="diverged", detail=f"{error}; {kept}", step=error.step)
