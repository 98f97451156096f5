"""A commit that is killed, or refused by the system, at any call leaves the old or the new."""

from collections.abc import Callable

import pytest

from tests.faults.crash_points import Report, Unavailable, fail_every_call, kill_at_every_call

ERRORS = [
    ("fsync", "EIO", 8),
    ("write", "ENOSPC", 5),
    ("rename", "EIO", 1),
    ("mkdir", "ENOSPC", 1),
    ("openat", "EMFILE", 8),
]


def report_of(inject: Callable[..., Report], *arguments: str, every: int = 1) -> Report:
    try:
        return inject(*arguments, every=every)
    except Unavailable as error:
        pytest.skip(f"no system calls can be traced here: {error}")


def test_a_commit_that_is_killed_at_some_calls_is_whole_or_absent():
    report = report_of(kill_at_every_call, every=9)
    assert report.is_clean, report


@pytest.mark.slow
def test_a_commit_that_is_killed_at_any_call_is_whole_or_absent():
    report = report_of(kill_at_every_call)
    assert report.is_clean, report
    assert report.points > 20


@pytest.mark.slow
@pytest.mark.parametrize(("call", "error", "least"), ERRORS)
def test_a_commit_that_any_call_refuses_is_not_acknowledged(call, error, least):
    report = report_of(fail_every_call, call, error)
    assert report.is_clean, report
    assert report.points >= least
