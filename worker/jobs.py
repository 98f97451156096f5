"""Jobs as RQ runs them. ``train`` is the only function that a worker may be asked to call."""

import logging
import signal
import threading
from contextlib import suppress
from types import FrameType

from worker.errors import Conflict, NotFound, StoreError, Unavailable
from worker.losses import LOG, keep_output
from worker.outcomes import record_ending, record_failure
from worker.queue import STOP_SIGNALS, Dispatcher
from worker.settings import Settings
from worker.shortage import explained, resident_bytes
from worker.storage import is_storage_trouble
from worker.store import Store
from worker.store.claims import Claim, Fenced
from worker.store.job import Job
from worker.training import play
from worker.watchdog import watched

log = logging.getLogger("ringside.training")


def train(job_id: str) -> None:
    """Train a job in this process, from its newest checkpoint, to its end or to a stop.

    SIGTERM and SIGINT mean: save at the next step, put the job back, return.
    """
    interrupted = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The worker has held them back until now, so that none was lost.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    settings = Settings()
    try:
        job = Store(settings.home).jobs.get(job_id)
    except NotFound:
        log.info("%s was deleted before it was trained", job_id)
        return
    if not job.is_training():
        keep_output(job.path / LOG)
    train_job(settings, job, interrupted)
    if settings.redis_url and _is_queued(job):
        # Without Redis the reconciler finds the job.
        with suppress(Unavailable):
            Dispatcher(settings.redis_url).enqueue(job, first=True)


def _is_queued(job: Job) -> bool:
    """Whether the job was handed back or rolled back; it may be deleted."""
    try:
        return job.record().status == "queued"
    except (FileNotFoundError, StoreError):
        return False


def train_job(settings: Settings, job: Job, interrupted: threading.Event) -> None:
    """Train a job unless it is settled or another process trains it; record how it ended."""
    try:
        claim = job.claim()
    except Conflict:
        # Delivered twice: whoever has the claim trains it.
        return
    except OSError as error:
        if not is_storage_trouble(error):
            raise
        log.warning("%s waits: %s", job.id, error)
        return
    if claim is None:
        return
    with claim:
        try:
            _attempt(settings, job, claim, interrupted)
        except Fenced as error:
            log.warning("%s: %s", job.id, error)
            # The job may have been deleted.
            with suppress(FileNotFoundError):
                job.events.append("attempt.fenced", {"attempt": claim.epoch.number})


def _attempt(settings: Settings, job: Job, claim: Claim, interrupted: threading.Event) -> None:
    """Train, and record how it ended; an end that cannot be recorded is a failure too."""
    store, before_bytes = Store(settings.home), resident_bytes()
    with watched(settings.stall_seconds) as go_on:
        try:
            ending = play(settings, store, job, claim, interrupted, go_on)
            go_on()
            record_ending(store, job, claim, ending)
        except Fenced:
            raise
        except Exception as error:
            go_on()
            # One that was taken over or deleted is not to be settled here.
            claim.check()
            if job.record().status != "running":
                raise
            reason = explained(error, job, settings, before_bytes)
            record_failure(job, claim, reason, settings.max_attempts)
