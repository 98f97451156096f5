"""Makes the queue of evaluations agree with the disk, as the reconciler does for jobs."""

import logging
from contextlib import suppress

from worker.best import conclude
from worker.errors import Unavailable
from worker.losses import loss_of_evaluation_unseen
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.storage import has_room
from worker.store import Store
from worker.store.evaluations import Pending

# Beside its record: pictures, and the classifier of a dataset.
_NEEDED_BYTES = 4 << 20

log = logging.getLogger("ringside.reconciler")


class PendingEvaluations:
    """Looks at all evaluations that are not over; several may do so at once."""

    def __init__(self, settings: Settings, store: Store, dispatcher: Dispatcher) -> None:
        self._max_attempts, self._store, self._dispatcher = settings.max_attempts, store, dispatcher
        self.any_pending = False
        # None at the start: then what the queue does not know is queued at once.
        self._missing: set[Pending] | None = None
        self._complained: set[Pending] = set()

    def scan(self) -> None:
        """One round: queue what is to be done, and finish what a dead process left undone."""
        pending = self._store.evaluations.pending()
        self.any_pending = bool(pending)
        waiting = [one for one in pending if self._is_waiting(one)]
        # Without Redis nobody could be told; the disk remembers.
        with suppress(Unavailable):
            self._enqueue(set(waiting))

    def _is_waiting(self, pending: Pending) -> bool:
        try:
            return self._look_after(pending)
        except Exception as error:
            # One that is damaged keeps no other from being done. Told once: this is asked again
            # every few seconds.
            if pending not in self._complained:
                self._complained.add(pending)
                log.error("%s cannot be looked after: %s", pending.id, error)
            return False

    def _look_after(self, pending: Pending) -> bool:
        """Whether it waits for somebody to evaluate it."""
        evaluations = self._store.evaluations
        evaluation = evaluations.at(pending)
        try:
            # In this order: one that ends in between is seen to have ended.
            is_running, record = evaluation.is_running, evaluation.record()
        except FileNotFoundError:
            # The job was deleted, or whoever asked died before anything was promised.
            evaluations.forget(pending)
            return False
        if is_running:
            return False
        if record.status == "running":
            loss = loss_of_evaluation_unseen()
            record = evaluations.put_back(evaluation, loss, self._max_attempts)
        if not record.is_pending:
            conclude(self._store, pending)
        return record.status == "queued"

    def _enqueue(self, waiting: set[Pending]) -> None:
        """Those that were missing the last time too: one may be on its way from queue to worker."""
        if not waiting:
            self._missing = set()
            return
        missing = waiting - self._dispatcher.waiting_evaluations()
        twice = missing if self._missing is None else missing & self._missing
        # Whoever took one up on a full disk would give it back at once.
        if twice and not has_room(self._store.home, _NEEDED_BYTES):
            self._missing = missing
            return
        for pending in sorted(twice):
            on_demand = self._store.evaluations.is_on_demand(pending)
            self._dispatcher.enqueue_evaluation(pending, on_demand)
        self._missing = missing - twice
