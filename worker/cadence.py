"""Which checkpoints of a training are put up for evaluation, without anybody asking."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import StoreError, Unavailable
from worker.store import Store
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt
from worker.store.evaluations import Room
from worker.store.job import Job

# A training that is measured more slowly than it saves must not fill the disk with checkpoints.
MOST_PENDING = 5

log = logging.getLogger("ringside.training")


class Cadence:
    """Puts checkpoints of one job up when they are due; a training never fails of it."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job, self._referee = store, job, job.config().referee
        self._last_step: int | None = None

    def consider(self, checkpoint: Checkpoint) -> None:
        """Put a new checkpoint up if it is the first at or after a step that is due."""
        every = self._referee.evaluate_every
        if not every:
            return
        with self._beside_training(checkpoint.step):
            if self._last_step is None:
                self._last_step = max(self._store.evaluations.by_own_protocol(self._job), default=0)
            if checkpoint.step // every > self._last_step // every:
                self._last_step = checkpoint.step
                self._put_up(checkpoint)

    def finish(self) -> None:
        """Put the last checkpoint of a finished training up, where any was."""
        newest = self._job.checkpoint()
        if not self._referee.evaluate_every or newest is None:
            return
        with self._beside_training(newest.step):
            if self._store.evaluations.by_own_protocol(self._job):
                self._put_up(newest)

    def _put_up(self, checkpoint: Checkpoint) -> None:
        """Where too many wait an earlier one gives way: the later ones are worth more."""
        evaluations, room = self._store.evaluations, Room(of_all=None, of_job=MOST_PENDING)
        try:
            evaluations.ask(self._job, checkpoint, self._referee.protocol, room)
        except Unavailable:
            dropped = evaluations.withdraw_oldest(self._job)
            if dropped is None:
                raise
            self._job.events.append("evaluation.skipped", {"step": dropped})
            evaluations.ask(self._job, checkpoint, self._referee.protocol, room)

    @contextmanager
    def _beside_training(self, step: int) -> Iterator[None]:
        """What goes wrong is told, and the training goes on: a disk that is full says so itself."""
        try:
            yield
        except Unavailable as error:
            told = {"step": step, "code": error.code, "detail": error.detail}
            self._job.events.append("evaluation.skipped", told)
        except (OSError, StoreError, CheckpointCorrupt) as error:
            log.warning("%s: step %d is not evaluated: %s", self._job.id, step, error)
