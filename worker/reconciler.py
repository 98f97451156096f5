"""Makes the queue agree with the disk: whatever became of Redis or of a worker, jobs go on."""

import logging
import time
from contextlib import suppress
from pathlib import Path

from worker.errors import Unavailable
from worker.losses import loss_unseen
from worker.pending import PendingEvaluations
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.storage import has_room
from worker.store import Store
from worker.store.epochs import Epoch
from worker.store.job import Job
from worker.store.records import JobRecord
from worker.store.sweep import sweep

_SWEEP_SECONDS = 600.0

log = logging.getLogger("ringside.reconciler")


class Watch:
    """Notices processes that live and do nothing: frozen, or on a machine that is cut off."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._before: dict[Path, tuple[int, float]] = {}
        self._seen: dict[Path, tuple[int, float]] = {}
        self._looked, self._clock = time.monotonic(), 0.0

    def look(self) -> None:
        """Begin a round. What held the watcher up may have held up those it watches.

        So its own clock goes on by half a lease at most, however long the last round is ago.
        """
        now = time.monotonic()
        self._clock += min(now - self._looked, self._lease_seconds / 2)
        self._looked = now
        self._before, self._seen = self._seen, {}

    def has_lapsed(self, epoch: Epoch) -> bool:
        """Whether an attempt has not beaten for as long as the lease, by this clock alone."""
        beat = epoch.beat
        seen, since = self._before.get(epoch.path, (None, 0.0))
        if beat != seen:
            since = self._clock
        self._seen[epoch.path] = (beat, since)
        return self._clock - since > self._lease_seconds


class Reconciler:
    """Looks at all unfinished jobs again and again; several may do so at once.

    A job that is handed over twice is trained once, because an epoch can be claimed once.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings, self._store = settings, Store(settings.home)
        self._dispatcher = Dispatcher(url)
        self._evaluations = PendingEvaluations(settings, self._store, self._dispatcher)
        self._watch = Watch(settings.lease_seconds)
        self._sweep_due = 0.0
        # None at the start: then what the queue does not know is queued at once.
        self._missing: set[str] | None = None

    def scan(self) -> None:
        """One round: put back what is lost, queue what the queue does not know."""
        self._watch.look()
        self._sweep_now_and_then()
        put_back, queued = [], []
        for job, record in self._store.jobs.unfinished():
            if self._revived(job, record):
                put_back.append(job)
            elif record.status == "queued":
                queued.append(job)
        # Without Redis nobody could be told; the disk remembers.
        with suppress(Unavailable):
            self._enqueue(put_back, queued)
            self._dispatcher.forget_dead_workers()
        self._evaluations.scan()

    @property
    def evaluations_wait(self) -> bool:
        """Whether there was an evaluation to do in the last round."""
        return self._evaluations.any_pending

    def _revived(self, job: Job, record: JobRecord) -> bool:
        try:
            return self._revive(job, record)
        except Exception as error:
            # One damaged job must not keep the others from going on; the next round tries again.
            if not isinstance(error, FileNotFoundError):
                log.error("%s cannot be looked after: %s", job.id, error)
            return False

    def _sweep_now_and_then(self) -> None:
        if time.monotonic() >= self._sweep_due:
            self._sweep_due = time.monotonic() + _SWEEP_SECONDS
            if count := sweep(self._store.home):
                log.info("removed %d things that dead processes left half done", count)

    def _revive(self, job: Job, record: JobRecord) -> bool:
        """Whether the job was put back because nobody trains it any more."""
        if record.waits_for_storage:
            return self._resume_with_room(job)
        if record.status != "running":
            return False
        if job.is_training():
            self._end_if_frozen(job.epochs()[-1])
            return False
        return job.put_back(loss_unseen(job.path), self._settings.max_attempts)

    def _resume_with_room(self, job: Job) -> bool:
        loss = job.epochs()[-1].loss
        if not has_room(job.path, (loss and loss.needed_bytes) or 0):
            return False
        with job.locked() as record:
            if not record.waits_for_storage:
                return False
            job.change(record, reason="storage-recovered", status="queued", error=None)
        return True

    def _end_if_frozen(self, epoch: Epoch) -> None:
        if not self._watch.has_lapsed(epoch):
            return
        holder = epoch.holder
        log.warning("%s does not move any more; it is given up", epoch.path)
        # Dead is better than given up: it may hold a GPU. Elsewhere it cannot be reached.
        if holder is None or not holder.kill():
            epoch.give_up()

    def _enqueue(self, put_back: list[Job], queued: list[Job]) -> None:
        """Those put back at once; others only if they were missing the last time too.

        A worker may have taken a job from the queue a moment ago and be about to claim it.
        """
        for job in put_back:
            self._dispatcher.enqueue(job, first=True)
        waiting = self._dispatcher.waiting()
        missing = {job.id: job for job in queued if job.id not in waiting}
        twice = missing.keys() if self._missing is None else missing.keys() & self._missing
        for job_id in sorted(twice):
            self._dispatcher.enqueue(missing[job_id])
        self._missing = missing.keys() - twice
