"""The queue is made to agree with the disk: lost jobs go on, and none is given up too early."""

import os
import shutil
import signal

import pytest
import redis

from tests.worker.builders import make_job, settings_for, train
from worker.identity import ProcessIdentity
from worker.queue import Dispatcher
from worker.reconciler import Reconciler, Watch
from worker.store.epochs import Loss
from worker.store.files import temporary_name
from worker.store.job import Job
from worker.store.records import JobError

LOSS = Loss(code="process-lost", detail="it ended")


@pytest.fixture
def dispatcher(redis_url) -> Dispatcher:
    redis.Redis.from_url(redis_url).flushall()
    return Dispatcher(redis_url)


@pytest.fixture
def reconciler(dispatcher, redis_url, home) -> Reconciler:
    return Reconciler(settings_for(home), redis_url)


def lost_job(store, held_elsewhere, wait_until, **changes):
    """A job whose training process was killed without anybody noticing."""
    job = make_job(store, **changes)
    with held_elsewhere(job) as process:
        process.kill()
        wait_until(lambda: not job.is_training(), "the end of the training process", 5)
    return job


def test_a_job_that_redis_has_forgotten_is_queued_again(reconciler, dispatcher, store):
    reconciler.scan()
    job = make_job(store)
    reconciler.scan()
    assert dispatcher.waiting() == set()
    reconciler.scan()
    assert dispatcher.waiting() == {job.id}


def test_jobs_of_before_the_start_are_queued_at_once(dispatcher, redis_url, store, home):
    first, second = make_job(store), make_job(store)
    Reconciler(settings_for(home), redis_url).scan()
    assert dispatcher.waiting() == {first.id, second.id}


def test_a_job_that_waits_is_not_queued_twice(reconciler, dispatcher, store, redis_url):
    dispatcher.enqueue(make_job(store))
    for _ in range(4):
        reconciler.scan()
    assert redis.Redis.from_url(redis_url).llen("rq:queue:ringside") == 1


def test_a_job_whose_process_is_gone_is_put_back_at_once(
    reconciler, dispatcher, store, held_elsewhere, wait_until
):
    job = lost_job(store, held_elsewhere, wait_until)
    reconciler.scan()
    assert job.record().status == "queued"
    assert dispatcher.waiting() == {job.id}
    lost = [event.data for event in job.events.after(0) if event.type == "attempt.lost"]
    assert [entry["attempt"] for entry in lost] == [1]


def test_a_job_that_is_trained_is_left_alone(reconciler, dispatcher, store, held_elsewhere):
    job = make_job(store)
    with held_elsewhere(job):
        for _ in range(3):
            reconciler.scan()
        assert job.record().status == "running"
        assert dispatcher.waiting() == set()


@pytest.mark.parametrize("name", ["epoch.json", "loss.json", "holder", "../0001.bak/epoch.json"])
def test_one_damaged_job_does_not_keep_the_others_from_going_on(
    reconciler, dispatcher, store, held_elsewhere, wait_until, name
):
    damaged = make_job(store)
    damaged.claim().release()
    path = damaged.epochs()[-1].path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\xff torn")
    waiting = make_job(store)
    lost = lost_job(store, held_elsewhere, wait_until)
    reconciler.scan()
    assert lost.record().status == "queued"
    assert {waiting.id, lost.id} <= dispatcher.waiting()


def test_without_redis_a_lost_job_is_put_back_on_disk(store, home, held_elsewhere, wait_until):
    job = lost_job(store, held_elsewhere, wait_until)
    Reconciler(settings_for(home), "unix:///tmp/no-such-redis.sock").scan()
    assert job.record().status == "queued"


def test_a_job_that_is_lost_again_and_again_without_a_checkpoint_fails(store):
    job = make_job(store)
    for _ in range(2):
        job.claim().release()
        assert job.put_back(LOSS, 3)
    job.claim().release()
    assert not job.put_back(LOSS.model_copy(update={"signal": 9, "log_tail": ("last words",)}), 3)
    error = job.record().error
    assert (job.record().status, error.code, error.signal) == ("failed", "process-lost", 9)
    assert error.log_tail == ("last words",)
    assert "3 attempts" in error.detail
    assert [event.type for event in job.events.after(0)][-1] == "job.done"


def test_a_checkpoint_in_between_gives_a_lost_job_another_chance(store, home):
    job = make_job(store)
    for _ in range(2):
        job.claim().release()
        job.put_back(LOSS, 3)
    job.want_stop("pause")
    train(job, home)
    assert job.record().status == "paused"
    with job.locked() as record:
        job.change(record, status="queued")
    for _ in range(2):
        job.claim().release()
        assert job.put_back(LOSS, 3)


@pytest.mark.parametrize("killed", ["while it settles", "while it is put back"])
def test_a_wish_to_stop_outlives_a_crash_in_the_middle_of_granting_it(store, killed, monkeypatch):
    job = make_job(store)
    claim = job.claim()
    job.want_stop("cancel")

    class Killed(BaseException):
        pass

    with monkeypatch.context() as patch:
        patch.setattr(Job, "change", lambda *_, **__: (_ for _ in ()).throw(Killed))
        if killed == "while it settles":
            with pytest.raises(Killed):
                job.settle(claim, "queued", None)
        claim.release()
        if killed == "while it is put back":
            with pytest.raises(Killed):
                job.put_back(LOSS, 3)
    assert not job.put_back(LOSS, 3)
    assert job.record().status == "canceled"


def test_somebody_who_resumes_a_lost_job_gives_it_all_its_chances_again(store):
    job = make_job(store)
    for _ in range(3):
        job.claim().release()
        job.put_back(LOSS, 3)
    assert job.record().status == "failed"
    with job.locked() as record:
        job.resume(record)
    for _ in range(2):
        job.claim().release()
        assert job.put_back(LOSS, 3)


def test_an_attempt_that_was_killed_before_it_began_is_no_progress(store):
    job = make_job(store)
    for _ in range(2):
        job.claim().release()
        assert job.put_back(LOSS, 3)
    with job.claim() as claim:
        job.settle(claim, "queued", None)
    job.claim().release()
    assert not job.put_back(LOSS, 3)


def test_a_wish_to_stop_is_fulfilled_when_the_process_is_lost(store):
    for wish, status in (("pause", "paused"), ("cancel", "canceled")):
        job = make_job(store)
        job.claim().release()
        job.want_stop(wish)
        assert not job.put_back(LOSS, 3)
        assert job.record().status == status
        assert job.stop_wanted() is None


def paused_for_storage(store, needed_bytes):
    job = make_job(store)
    loss = Loss(code="storage-full", detail="full", needed_bytes=needed_bytes)
    with job.claim() as claim:
        claim.epoch.note_loss(loss)
        job.settle(claim, "paused", JobError(code=loss.code, detail=loss.detail))
    return job


def test_a_job_that_waits_for_room_goes_on_when_there_is_room(reconciler, dispatcher, store, home):
    needed = 10 * shutil.disk_usage(home).total
    waits, goes_on = paused_for_storage(store, needed), paused_for_storage(store, 1000)
    reconciler.scan()
    assert (waits.record().status, waits.record().error.code) == ("paused", "storage-full")
    assert (goes_on.record().status, goes_on.record().error) == ("queued", None)
    assert dispatcher.waiting() == {goes_on.id}


def test_a_job_that_was_paused_by_its_owner_stays_paused(reconciler, store):
    job = make_job(store)
    with job.claim() as claim:
        job.settle(claim, "paused", None)
    for _ in range(3):
        reconciler.scan()
    assert job.record().status == "paused"


def test_a_job_that_waits_for_room_and_is_paused_by_its_owner_stays_paused(reconciler, store):
    job = paused_for_storage(store, 1000)
    with job.locked() as record:
        job.stop(record, "pause")
    for _ in range(3):
        reconciler.scan()
    assert job.record().status == "paused"


class Beating:
    """An epoch whose beat is set by hand."""

    path, beat = "epoch", 1


def test_an_attempt_lapses_when_it_does_not_beat_for_as_long_as_the_lease(monkeypatch):
    clock = 100.0
    monkeypatch.setattr("worker.reconciler.time.monotonic", lambda: clock)
    watch, epoch, lapsed = Watch(lease_seconds=20), Beating(), []
    for _ in range(15):
        clock += 2
        watch.look()
        lapsed.append(watch.has_lapsed(epoch))
    assert lapsed == [False] * 11 + [True] * 4
    epoch.beat = 2
    clock += 2
    watch.look()
    assert not watch.has_lapsed(epoch)


def test_a_watcher_that_was_frozen_itself_gives_nobody_up(monkeypatch):
    clock = 100.0
    monkeypatch.setattr("worker.reconciler.time.monotonic", lambda: clock)
    watch = Watch(lease_seconds=20)
    watch.look()
    assert not watch.has_lapsed(Beating())
    clock += 3600
    watch.look()
    assert not watch.has_lapsed(Beating())


def test_a_frozen_process_is_killed_after_the_lease(
    redis_url, dispatcher, store, home, held_elsewhere, wait_until
):
    settings = settings_for(home).model_copy(update={"lease_seconds": 0.5})
    reconciler, job = Reconciler(settings, redis_url), make_job(store)
    with held_elsewhere(job) as process:
        os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: reconciler.scan() or not job.is_training(), "the end of the frozen", 10)
        assert process.wait(5) == -signal.SIGKILL
    wait_until(lambda: reconciler.scan() or dispatcher.waiting() == {job.id}, "the job", 5)
    assert job.record().status == "queued"


def test_what_a_killed_process_left_half_done_is_removed(
    reconciler, store, home, held_elsewhere, wait_until
):
    job = lost_job(store, held_elsewhere, wait_until)
    checkpoints = job.epochs()[-1].path / "checkpoints"
    holder = job.epochs()[-1].holder
    left, mine = (
        checkpoints / temporary_name("step-000000004").replace(str(ProcessIdentity.own()), str(who))
        for who in (holder, ProcessIdentity.own())
    )
    for directory in (left, mine):
        directory.mkdir(parents=True)
    reconciler.scan()
    assert not left.exists()
    assert mine.exists()
