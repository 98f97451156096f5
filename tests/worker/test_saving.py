"""Checkpoints are written beside the training: one at a time, and no error is lost."""

import errno
import threading

import pytest

from tests.worker.builders import make_job, train
from worker.saving import Saver
from worker.store import disk


@pytest.fixture
def saver():
    made = Saver()
    yield made
    made.close()


def test_one_write_at_a_time(saver):
    go, order = threading.Event(), []
    saver.start(lambda: (go.wait(5), order.append(1)))
    assert saver.is_writing
    saver.check()
    go.set()
    saver.start(lambda: order.append(2))
    saver.wait()
    assert order == [1, 2]
    assert not saver.is_writing


def test_what_went_wrong_comes_out_once(saver, wait_until):
    saver.start(lambda: [].pop())
    wait_until(lambda: not saver.is_writing, "the end of the write", 5)
    with pytest.raises(IndexError):
        saver.check()
    saver.check()


def test_training_goes_on_while_a_slow_disk_writes_and_one_copy_is_held(store, home, monkeypatch):
    job = make_job(store, schedule={"steps": 60, "checkpoints_every": 5})
    write, slow = disk.write, threading.Event()

    def write_slowly(path, data, durable=True):
        if path.name == "training.safetensors":
            slow.wait(0.5)
        return write(path, data, durable)

    monkeypatch.setattr(disk, "write", write_slowly)
    train(job, home)
    events = list(job.events.after(0))
    skipped = [event.data["step"] for event in events if event.type == "checkpoint.skipped"]
    created = [event.data for event in events if event.type == "checkpoint.created"]
    assert job.record().status == "succeeded"
    assert skipped[:2] == [10, 15]
    assert (created[0]["step"], created[-1]["step"]) == (5, 60)
    assert created[0]["pause_seconds"] < 0.5 < created[0]["write_seconds"]
    assert [row["step"] for row in job.metrics()] == list(range(2, 61, 2))


def test_a_milestone_is_waited_for(store, home, monkeypatch):
    schedule = {"steps": 12, "checkpoints_every": 2, "keep_every": 4, "keep_last": 1}
    job = make_job(store, schedule=schedule)
    write, slow = disk.write, threading.Event()

    def write_slowly(path, data, durable=True):
        if path.name == "training.safetensors":
            slow.wait(0.2)
        return write(path, data, durable)

    monkeypatch.setattr(disk, "write", write_slowly)
    train(job, home)
    assert [checkpoint.step for checkpoint in job.checkpoints()] == [4, 8, 12]


def test_an_error_of_the_background_stops_the_training_before_its_end(store, home, monkeypatch):
    job = make_job(store, schedule={"steps": 10**6, "checkpoints_every": 5, "metrics_every": 1})

    def refuse(path, data, durable=True):
        if path.name == "training.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data, durable)

    write = disk.write
    monkeypatch.setattr(disk, "write", refuse)
    train(job, home)
    assert job.record().error.code == "storage-full"
    assert not job.checkpoints()
