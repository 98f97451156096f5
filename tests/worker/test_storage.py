"""A disk that is full or fails costs no checkpoint: the job waits, and goes on by itself."""

import errno
import math
import os

import pytest
import redis

from tests.worker.builders import make_job, settings_for, train
from tests.worker.test_jobs import files, rows
from worker.reconciler import Reconciler
from worker.storage import has_room, is_storage_trouble, loss_of_storage
from worker.store import disk

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def reconciler(redis_url, home) -> Reconciler:
    redis.Redis.from_url(redis_url).flushall()
    return Reconciler(settings_for(home), redis_url)


class FailingDisk:
    """Fails to make checkpoints durable as long as it is told to."""

    def __init__(self, monkeypatch, error: OSError) -> None:
        self._write, self.error = disk.write, error
        monkeypatch.setattr(disk, "write", self)

    def __call__(self, path, data, durable=True):
        if self.error and path.name == "training.safetensors":
            raise self.error
        return self._write(path, data, durable)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "storage-full"),
        (errno.EFBIG, "storage-full"),
        (errno.EIO, "storage-unavailable"),
        (errno.EROFS, "storage-unavailable"),
    ],
)
def test_a_job_whose_checkpoint_cannot_be_written_waits_and_says_why(
    number, code, store, home, monkeypatch
):
    job = make_job(store)
    FailingDisk(monkeypatch, OSError(number, os.strerror(number)))
    train(job, home)
    record = job.record()
    assert (record.status, record.error.code) == ("paused", code)
    assert record.waits_for_storage
    assert job.epochs()[-1].loss.needed_bytes > 0
    assert not job.checkpoints()
    assert not [path for path in job.path.rglob("*") if ".tmp_" in path.name]


def test_a_job_that_met_a_full_disk_ends_bit_for_bit_like_one_that_did_not(
    store, home, monkeypatch, reconciler
):
    straight, stopped = make_job(store), make_job(store)
    train(straight, home)
    stopped.want_stop("pause")
    train(stopped, home)
    last_good = stopped.checkpoint().digest
    with stopped.locked() as record:
        stopped.change(record, status="queued")
    full = FailingDisk(monkeypatch, FULL)
    train(stopped, home)
    assert stopped.record().error.code == "storage-full"
    assert stopped.newest_sound_checkpoint().digest == last_good
    full.error = None
    reconciler.scan()
    assert stopped.record().status == "queued"
    train(stopped, home)
    assert files(straight, 8) == files(stopped, 8)
    assert rows(straight) == rows(stopped)
    assert stopped.record().exact


def test_a_disk_that_fails_again_and_again_ends_the_job(store, home, monkeypatch, reconciler):
    job = make_job(store)
    FailingDisk(monkeypatch, OSError(errno.EIO, "Input/output error"))
    for _ in range(3):
        train(job, home)
        reconciler.scan()
    assert (job.record().status, job.record().error.code) == ("failed", "storage-unavailable")


def test_a_disk_that_is_full_again_and_again_is_waited_for(store, home, monkeypatch, reconciler):
    job = make_job(store)
    FailingDisk(monkeypatch, FULL)
    for _ in range(5):
        train(job, home)
        assert job.record().waits_for_storage
        reconciler.scan()
    assert job.record().status == "queued"


def test_a_disk_that_fails_to_read_costs_no_sound_checkpoint(store, home, monkeypatch):
    job = make_job(store)
    train(job, home)
    with job.locked() as record:
        job.resume(record)

    def refuse(path, most_bytes):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("worker.store.checkpoints.read_regular", refuse)
        train(job, home)
    assert (job.record().status, job.record().error.code) == ("paused", "storage-unavailable")
    assert not (job.path / "quarantine").exists()
    assert job.newest_sound_checkpoint().step == 8


def test_a_disk_too_full_to_say_so_leaves_the_job_to_the_reconciler(
    store, home, monkeypatch, reconciler
):
    job = make_job(store)

    def refuse(path, data, durable=True):
        raise FULL

    with monkeypatch.context() as patch:

        class FullFromTheFirstCheckpoint:
            def is_set(self) -> bool:
                patch.setattr(disk, "write", refuse)
                return False

        with pytest.raises(OSError, match="No space"):
            train(job, home, FullFromTheFirstCheckpoint())
        reconciler.scan()
        assert job.record().status == "running"
    reconciler.scan()
    assert job.record().status == "queued"


def test_room_is_found_by_trying(tmp_path):
    assert has_room(tmp_path, 1000)
    assert not has_room(tmp_path, 10**18)
    assert list(tmp_path.iterdir()) == []


def test_what_was_deleted_has_no_room_and_is_not_made_again(tmp_path):
    assert not has_room(tmp_path / "gone", 1000)
    assert not (tmp_path / "gone").exists()


def test_what_a_game_remembers_needs_room_in_both_checkpoints(store):
    def needed(size: int) -> int:
        job = make_job(store, "simgan", game={"replay": {"size": size}})
        return loss_of_storage(job, FULL).needed_bytes

    shape = store.datasets.get("digits").manifest.space.shape
    assert needed(500) - needed(100) >= 2 * 400 * 4 * math.prod(shape)


def test_other_errors_are_not_blamed_on_the_disk():
    assert not is_storage_trouble(FileNotFoundError(errno.ENOENT, "gone"))
