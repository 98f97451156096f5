"""The roll call: followers show that they live, and the leader ends who does not.

Collectives wait for those who take part: for ever on a GPU, for hours on a CPU.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from subprocess import Popen

from torch.distributed import TCPStore  # type: ignore[attr-defined]

_BEAT_SECONDS, _LOOK_SECONDS = 1.0, 0.1
# A machine that has much else to do may leave a process out for some time.
LAPSE_SECONDS = 60.0
# From a death until the one who waits in a collective must have heard of it.
_FREEING_SECONDS = 10.0

log = logging.getLogger("ringside.training")


@contextmanager
def answering(store: TCPStore, place: int) -> Iterator[None]:
    """Show the leader that this process lives, from a thread of its own, inside of the block."""
    over, own = threading.Event(), _own(store)

    def beat() -> None:
        # A leader that is gone wants no answer.
        with suppress(RuntimeError):
            while not over.wait(_BEAT_SECONDS):
                own.add(_key(place), 1)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class RollCall:
    """Looks after followers from a thread, until it is ended.

    Once they are ``expected`` to answer, one that has not beaten for ``LAPSE_SECONDS`` is killed,
    so that the leader hears of it. While the leader ``can_hang`` the death of a follower does not
    reach it: then only the end of this process helps. Whoever started it puts the job back.
    """

    def __init__(self, followers: Sequence[Popen[bytes]], store: TCPStore, job: str) -> None:
        self._followers, self._store, self._job = followers, _own(store), job
        self.expected = self.can_hang = False
        # Of each follower: how often it has beaten, and since when it has not.
        self._beats = [(0, 0.0)] * len(followers)
        self._looked = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="followers", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        died: float | None = None
        while not self._over.wait(_LOOK_SECONDS):
            self._kill_frozen()
            if not self.can_hang or all(follower.poll() is None for follower in self._followers):
                died = None
            elif died is None:
                died = time.monotonic()
            elif time.monotonic() - died > _FREEING_SECONDS:
                log.error("%s: a process of the job has died, and this one waits", self._job)
                os.abort()

    def _kill_frozen(self) -> None:
        now = time.monotonic()
        # Where this process was frozen too nobody can be blamed.
        is_late, self._looked = now - self._looked > LAPSE_SECONDS / 4, now
        for place, follower in enumerate(self._followers):
            count, since = self._beats[place]
            with suppress(RuntimeError):
                count = self._store.add(_key(place + 1), 0)
            if is_late or not self.expected or count != self._beats[place][0]:
                self._beats[place] = count, now
            elif now - since > LAPSE_SECONDS and follower.poll() is None:
                log.error("%s: a process of the job does nothing; it is ended", self._job)
                follower.kill()


def _own(store: TCPStore) -> TCPStore:
    """A connection for another thread: one may wait in a call for long."""
    own: TCPStore = store.clone()  # type: ignore[attr-defined]
    return own


def _key(place: int) -> str:
    """Where in the store the beats of a follower are counted."""
    return f"beat/{place}"
