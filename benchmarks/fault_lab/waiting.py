"""Waiting with a deadline: an experiment that does not come about is a failure, not a pause."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stuck(Exception):  # noqa: N818 - named for what it says
    """What was waited for did not come."""


def wait_until(
    condition: Callable[[], T | None], what: str, seconds: float = 60, every_seconds: float = 0.02
) -> T:
    """The condition's first true value.

    Raises:
        Stuck: when there is none within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every_seconds)
    raise Stuck(f"{what}: not within {seconds:g} seconds")
