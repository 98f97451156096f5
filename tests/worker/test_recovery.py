"""What a crash or a late request leaves behind is put right, and never silently wrong."""

import numpy as np
import pytest

from tests.worker.builders import make_job, train
from tests.worker.test_jobs import StopAt, resume
from worker.store.datasets import Datasets
from worker.store.epochs import Loss
from worker.store.references import resolve


@pytest.mark.parametrize("stop", ["pause", "cancel"])
def test_a_stop_that_comes_with_the_last_step_does_not_undo_the_end(stop, store, home):
    job = make_job(store, model="late")
    train(job, home, StopAt(job, 8, stop))
    assert job.record().status == "succeeded"
    assert store.models.get("late").version(None).step == 8


def test_a_pause_accepted_while_the_worker_is_interrupted_counts(store, home):
    job = make_job(store)

    class InterruptWithPause:
        def is_set(self) -> bool:
            job.want_stop("pause")
            return True

    train(job, home, InterruptWithPause())
    assert job.record().status == "paused"


def test_a_version_means_its_own_checkpoint_for_ever(store, home):
    job = make_job(store, model="pinned")
    train(job, home)
    first = store.models.get("pinned").version(1)
    # As after a crash between the version and the end: the job runs once more.
    resume(job)
    train(job, home)
    assert len(store.models.get("pinned").versions) == 1
    assert resolve(store, "pinned:1").checkpoint.digest == first.checkpoint
    # A damaged checkpoint makes a later attempt train its step again: other bytes, other version.
    newest = job.checkpoint()
    (newest.path / "training.safetensors").write_bytes(b"torn")
    resume(job)
    train(job, home)
    assert job.checkpoint().digest != first.checkpoint
    versions = store.models.get("pinned").versions
    assert resolve(store, "pinned:2").checkpoint.digest == versions[1].checkpoint


def test_a_job_whose_checkpoints_are_all_damaged_fails_however_often_it_is_tried(store, home):
    job = make_job(store)
    train(job, home)
    for checkpoint in job.checkpoints():
        (checkpoint.path / "manifest.json").unlink()
    for _ in range(2):
        resume(job)
        train(job, home)
        assert job.record().error.code == "checkpoint-unrecoverable"
    assert [row["step"] for row in job.metrics()] == [2, 4, 6, 8]


def test_a_job_paused_between_two_readings_shows_the_step_of_its_checkpoint(store, home):
    job = make_job(store, schedule={"metrics_every": 1000})
    job.want_stop("pause")
    train(job, home)
    assert job.progress()["step"] == job.checkpoint().step > 0


def test_a_name_outlives_a_newer_job_that_was_deleted(store, home):
    older = make_job(store, model="name")
    older.want_stop("pause")
    train(older, home)
    newer = make_job(store, model="name")
    store.jobs.delete(newer)
    assert resolve(store, "name").checkpoint.digest == older.checkpoint().digest


def damage(datasets: Datasets, name: str) -> str:
    directory = datasets.get(name).directory
    items = directory / "items.npy"
    items.write_bytes(items.read_bytes()[:-1000])
    return directory.name


def test_a_damaged_dataset_does_not_hide_the_others_and_can_be_deleted(store, tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(50, 2)))
    upload = tmp_path / "points.npy"
    store.datasets.import_upload(upload, None, None, "points", 60)
    damaged = damage(store.datasets, "points")
    assert damaged not in [manifest.id for manifest in store.datasets.all()]
    assert len(store.datasets.all()) == 3
    store.datasets.delete(store.datasets.id_of("points"))
    assert "points" not in store.datasets.names()


def test_a_damaged_dataset_is_replaced_by_importing_it_again(store, tmp_path):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(50, 2)))
    upload = tmp_path / "points.npy"
    manifest, _ = store.datasets.import_upload(upload, None, None, "points", 60)
    damage(store.datasets, "points")
    again, new = store.datasets.import_upload(upload, None, None, "points", 60)
    assert (again.id, new) == (manifest.id, True)
    store.datasets.get("points").verify()


def test_a_job_does_not_train_on_items_that_were_changed(store, home):
    job = make_job(store)
    items = store.datasets.get("digits").directory / "items.npy"
    content = bytearray(items.read_bytes())
    content[-1] ^= 1
    items.write_bytes(bytes(content))
    train(job, home)
    assert (job.record().status, job.record().error.code) == ("failed", "dataset-corrupt")


def test_a_job_that_runs_without_a_trace_of_an_attempt_is_queued_again(store, home):
    job = make_job(store)
    with job.locked() as record:
        job.change(record, status="running")
    assert job.put_back(Loss(code="process-lost", detail="gone"), max_attempts=3)
    train(job, home)
    assert job.record().status == "succeeded"
