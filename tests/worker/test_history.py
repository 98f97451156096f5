"""A kill between a change of state and its event loses neither."""

import pytest

from tests.worker.builders import make_job
from worker.store.events import EventLog


class Killed(BaseException):
    """What a kill looks like from inside the process."""


@pytest.fixture
def killed_at(monkeypatch):
    """Runs a change of a job that is killed before its n-th event."""

    def run(number, change):
        left, append = number, EventLog.append

        def die_in_time(log, *arguments):
            nonlocal left
            left -= 1
            if not left:
                raise Killed
            append(log, *arguments)

        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(EventLog, "append", die_in_time)
            change()

    return run


def end(job):
    with job.locked() as record:
        job.end(record, "canceled")


def mend(job):
    with job.locked() as record:
        job.mend_history(record)


def told(job):
    return [(event.type, event.data.get("status")) for event in job.events.after(0)]


@pytest.mark.parametrize("number", [1, 2])
def test_the_end_of_a_job_is_told_although_it_was_killed_before(store, killed_at, number):
    job = make_job(store)
    killed_at(number, lambda: end(job))
    assert job.record().status == "canceled"
    assert ("job.done", "canceled") not in told(job)
    for _ in range(2):
        mend(job)
        assert told(job)[1:] == [("job.status", "canceled"), ("job.done", "canceled")]


def test_a_history_without_gaps_is_not_added_to(store):
    job = make_job(store)
    mend(job)
    end(job)
    job.events.append("job.warning", {"code": "queue-unavailable"})
    before = told(job)
    mend(job)
    assert told(job) == before


def test_the_next_change_tells_of_the_one_before_that_was_killed(store, killed_at):
    job = make_job(store)
    end(job)

    def resume():
        with job.locked() as record:
            job.resume(record)

    killed_at(1, resume)
    with job.claim():
        statuses = [status for type_, status in told(job) if type_ == "job.status"]
    assert statuses == ["queued", "canceled", "queued", "running"]


def test_the_newest_event_of_a_type_is_found_however_long_ago_it_was(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    assert log.newest({"wanted"}) is None
    log.append("wanted", {"number": 1})
    log.append("wanted", {"number": 2})
    for _ in range(3):
        log.append("other", {"text": "x" * 50_000})
    assert log.newest({"wanted"}).data == {"number": 2}
    assert log.newest({"nothing"}) is None
