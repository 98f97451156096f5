"""A deleted job is gone: nobody who still knew it brings any of it back."""

import os
import subprocess
import sys

import pytest
import torch

from tests.worker.builders import make_job
from worker.errors import NotFound
from worker.store.checkpoints import Environment, Manifest, commit
from worker.store.claims import Fenced
from worker.store.files import new_id, now


@pytest.fixture
def deleted(store):
    """A job that was deleted while it was trained, and the claim of its trainer."""
    job = make_job(store)
    config = job.config()
    with job.claim() as claim:
        store.jobs.delete(job)
        yield job, claim, config


def test_the_trainer_of_a_deleted_job_is_fenced(deleted):
    job, claim, _ = deleted
    with pytest.raises(Fenced):
        claim.check()
    with pytest.raises(Fenced):
        job.settle(claim, "succeeded", None)
    assert not job.path.exists()


def test_a_checkpoint_of_a_deleted_job_is_not_committed(deleted, store):
    job, claim, config = deleted
    manifest = Manifest(
        job=job.id,
        epoch=1,
        step=4,
        images_seen=4,
        created_at=now(),
        environment=Environment(torch="2", device="cpu", threads=1, precision="float32"),
    )
    with pytest.raises(FileNotFoundError):
        commit(claim.epoch.checkpoint_path(4), {"a": {"b": torch.ones(1)}}, config, manifest)
    assert list((store.home / "jobs").iterdir()) == []


def test_neither_the_lock_nor_the_history_of_a_deleted_job_is_made_again(deleted, store):
    job, _, _ = deleted
    with pytest.raises(FileNotFoundError), job.locked():
        pytest.fail("there is no state to change")
    with pytest.raises(FileNotFoundError):
        job.events.append("job.warning", {})
    with pytest.raises(FileNotFoundError):
        job.claim()
    assert list((store.home / "jobs").iterdir()) == []


def test_a_directory_without_a_record_is_no_job(store):
    job, left = make_job(store), store.home / "jobs" / new_id("job")
    (left / "epochs").mkdir(parents=True)
    with pytest.raises(NotFound):
        store.jobs.get(left.name)
    assert not store.jobs.exists(left.name)
    assert [found.id for found in store.jobs.all()] == [job.id]
    assert [found.id for found, _ in store.jobs.unfinished()] == [job.id]


def test_a_job_that_was_deleted_before_its_turn_is_passed_over(tmp_path, redis_url):
    """By RQ, which would write a traceback into the worker's log."""
    code = f"from worker.jobs import train; train({new_id('job')!r})"
    variables = {**os.environ, "RINGSIDE_HOME": str(tmp_path), "RINGSIDE_REDIS_URL": redis_url}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
