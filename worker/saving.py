"""Checkpoints are written in a thread of their own, so that training goes on meanwhile."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Saver:
    """Writes one checkpoint at a time. What goes wrong comes out at the next call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._writing: Future[None] | None = None
        self._began = 0.0

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    @property
    def writing_seconds(self) -> float:
        """For how long the checkpoint has been being written by now; 0 where none is."""
        return time.monotonic() - self._began if self.is_writing else 0.0

    def start(self, write: Callable[[], None]) -> None:
        """Write in the background, after what is being written now, if anything."""
        self.wait()
        self._began = time.monotonic()
        self._writing = self._thread.submit(write)

    def check(self) -> None:
        """Raise what went wrong in the background, if anything; does not wait."""
        if not self.is_writing:
            self.wait()

    def wait(self) -> None:
        """Wait until everything is written, or raise what went wrong."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def close(self) -> None:
        """End the thread, after what it is writing."""
        self._thread.shutdown()
