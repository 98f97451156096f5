"""The watchdog: ends a training that finishes no step any more, and writes down where it was."""

import faulthandler
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_STANDARD_ERROR = 2
# Each time a thread is started and another one ended.
_EVERY_SECONDS = 1.0
# What is written last by a process that was ended: a line for each thread, and its calls. The last
# line may have been cut off.
_LAST_WORDS = re.compile(
    r"Timeout \([^\n]*\)!\n(?:(?:Thread|Current thread|\.\.\.| {2})[^\n]*(?:\n|\Z)|\n)*\Z"
)
_THREAD = re.compile(r"^(?:Thread|Current thread) .*$", re.M)


@contextmanager
def watched(stall_seconds: float) -> Iterator[Callable[[], None]]:
    """Inside of the block, the process ends unless it calls what it is given every so often.

    What ends it is no thread of Python, so a library that computes for ever and keeps the
    interpreter to itself is ended too. Where all threads were goes to standard error first.
    """
    armed = -_EVERY_SECONDS

    def go_on() -> None:
        nonlocal armed
        if time.monotonic() - armed < _EVERY_SECONDS:
            return
        # Where no thread can be started just now the next call tries again.
        with suppress(RuntimeError):
            faulthandler.dump_traceback_later(stall_seconds, exit=True, file=_STANDARD_ERROR)
            armed = time.monotonic()

    go_on()
    try:
        yield go_on
    finally:
        faulthandler.cancel_dump_traceback_later()


def last_calls(output: str) -> list[str] | None:
    """Where the main thread of a process was that was ended so, innermost call first.

    None where the end of its output says nothing of the kind.
    """
    found = _LAST_WORDS.search(output)
    if found is None:
        return None
    # The main thread is the oldest one, and comes last.
    return _THREAD.split(found.group())[-1].strip("\n").splitlines()
