"""Checkpoints are written in a thread of their own, so that training goes on meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Saver:
    """Writes one checkpoint at a time. What goes wrong comes out at the next call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._writing: Future[None] | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    def start(self, write: Callable[[], None]) -> None:
        """Write in the background, after what is being written now, if anything."""
        self.wait()
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
