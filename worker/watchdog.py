"""The watchdog: ends a training that finishes no step any more, and writes down where it was."""

import faulthandler
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2
# What is written last by a process that was ended: a line for each thread, and its calls.
_LAST_WORDS = re.compile(r"^Timeout \(.*\)!\n(?:(?:Thread|Current thread| {2}).*\n|\n)*\Z", re.M)


@contextmanager
def watched(stall_seconds: float) -> Iterator[Callable[[], None]]:
    """Inside of the block, the process ends unless it calls what it is given every so often.

    What ends it is no thread of Python, so a library that computes for ever and keeps the
    interpreter to itself is ended too. Where all threads were goes to standard error first.
    """

    def go_on() -> None:
        faulthandler.dump_traceback_later(stall_seconds, exit=True, file=_STANDARD_ERROR)

    go_on()
    try:
        yield go_on
    finally:
        faulthandler.cancel_dump_traceback_later()


def was_ended(output: str) -> bool:
    """Whether the end of a process's output says that it was ended so."""
    return _LAST_WORDS.search(output) is not None
