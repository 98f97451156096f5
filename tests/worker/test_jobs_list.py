"""Looking at all jobs: cheap for those that are settled, and no job hides another."""

import logging

import pytest

from tests.worker.builders import make_job
from worker.store.files import replace_file
from worker.store.job import Job


@pytest.fixture
def settled(store):
    job = make_job(store)
    with job.locked() as record:
        job.end(record, "canceled")
    return job


def test_settled_jobs_cost_nothing_but_a_look(store, settled, monkeypatch):
    assert store.jobs.unfinished() == []
    with monkeypatch.context() as patched:
        patched.setattr(Job, "__init__", lambda *_: pytest.fail("a settled job was opened"))
        assert store.jobs.unfinished() == []
    with settled.locked() as record:
        settled.resume(record)
    assert [job.id for job, _ in store.jobs.unfinished()] == [settled.id]


def test_a_job_that_cannot_be_read_hides_no_other_and_is_reported_once(store, monkeypatch, caplog):
    failing, torn, sound = (make_job(store) for _ in range(3))
    replace_file(torn.path / "job.json", b"{")
    read = Job.record

    def record(job):
        if job.id == failing.id:
            raise OSError(5, "Input/output error")
        return read(job)

    monkeypatch.setattr(Job, "record", record)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert [job.id for job, _ in store.jobs.unfinished()] == [sound.id]
            assert [job.id for job, _ in store.jobs.records()] == [sound.id]
    told = [entry.getMessage() for entry in caplog.records]
    assert [sum(job.id in line for line in told) for job in (failing, torn, sound)] == [1, 1, 0]
