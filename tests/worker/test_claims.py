"""One writer per job: an epoch is claimed once, and a claim that was taken over writes nothing."""

import json
import threading

import pytest

from tests.worker.builders import make_job, train
from worker.errors import Conflict
from worker.identity import ProcessIdentity
from worker.store.claims import Claim, Fenced
from worker.store.epochs import all_epochs


def test_an_epoch_can_be_made_once(tmp_path):
    with Claim.make(tmp_path, 1):
        with pytest.raises(Conflict):
            Claim.make(tmp_path, 1)
        with Claim.make(tmp_path, 2) as second:
            assert second.epoch.is_alive


def test_a_claim_is_known_by_its_holder_and_gone_with_it(store, held_elsewhere, wait_until):
    job = make_job(store)
    with held_elsewhere(job) as process:
        (epoch,) = job.epochs()
        assert epoch.is_alive
        assert (epoch.holder.pid, epoch.holder.is_gone) == (process.pid, False)
        process.kill()
        wait_until(lambda: not epoch.is_alive, "the end of the claim", 5)
        # The kernel lets go of a process's locks before it lets go of the process.
        wait_until(lambda: epoch.holder.is_gone, "the end of the process", 5)


def test_a_living_claim_beats(store, held_elsewhere, wait_until):
    job = make_job(store)
    with held_elsewhere(job):
        (epoch,) = job.epochs()
        first = epoch.beat
        wait_until(lambda: epoch.beat != first, "a beat", 5)


def test_a_claim_that_was_given_up_is_fenced(tmp_path):
    with Claim.make(tmp_path, 1) as claim:
        claim.check()
        claim.epoch.give_up()
        assert not claim.epoch.is_alive
        with pytest.raises(Fenced):
            claim.check()


def test_a_claim_is_fenced_by_a_later_one(tmp_path):
    with Claim.make(tmp_path, 1) as claim, Claim.make(tmp_path, 2):
        with pytest.raises(Fenced):
            claim.check()
        with pytest.raises(Fenced):
            claim.begin(0)


def test_a_claim_for_which_no_thread_can_be_started_leaves_nothing(store, monkeypatch):
    job = make_job(store)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            job.claim()
    assert list((job.path / "epochs").iterdir()) == []
    assert job.record().status == "queued"
    with job.claim() as claim:
        assert claim.epoch.number == 1


def test_an_attempt_that_was_taken_over_settles_nothing(store):
    job = make_job(store)
    with job.claim() as stale:
        stale.epoch.give_up()
        with job.claim() as claim:
            with pytest.raises(Fenced):
                job.settle(stale, "succeeded", None)
            assert job.record().status == "running"
            job.settle(claim, "succeeded", None)
    assert (job.record().status, job.record().attempt) == ("succeeded", 2)


def test_an_attempt_that_is_taken_over_while_it_trains_stops_and_commits_nothing(store, home):
    job = make_job(store, schedule={"steps": 10**6, "checkpoints_every": 10**6})

    class TakeOver:
        """Looks like an event; asked whether to stop, another process takes over instead."""

        claim = None

        def is_set(self) -> bool:
            if self.claim is None and any(job.metrics()):
                job.epochs()[-1].give_up()
                self.claim = job.claim()
            return False

    other = TakeOver()
    train(job, home, other)
    with other.claim:
        assert not job.checkpoints()
        assert (job.record().status, job.record().attempt) == ("running", 2)
        assert "attempt.fenced" in [event.type for event in job.events.after(0)]


def epochs_from(directory, *starts):
    for number, start in enumerate(starts, 1):
        path = directory / f"{number:04d}"
        path.mkdir()
        if start is not None:
            (path / "epoch.json").write_text(json.dumps({"start_step": start}))
    return [(epoch.start, epoch.end) for epoch in all_epochs(directory)]


def test_an_epoch_ends_where_the_next_one_goes_on(tmp_path):
    assert epochs_from(tmp_path, 0, 50, 75) == [(0, 50), (50, 75), (75, None)]


def test_an_epoch_that_did_not_begin_makes_nothing_void(tmp_path):
    assert epochs_from(tmp_path, 0, None, 50, None) == [
        (0, 50),
        (None, 50),
        (50, None),
        (None, None),
    ]


def test_an_attempt_that_goes_back_makes_all_void_that_lies_beyond(tmp_path):
    assert epochs_from(tmp_path, 0, 50, 25) == [(0, 25), (50, 25), (25, None)]


def test_epochs_are_in_order_beyond_four_digits(tmp_path):
    for number in (9_999, 10_000, 2):
        (tmp_path / f"{number:04d}").mkdir()
    assert [epoch.number for epoch in all_epochs(tmp_path)] == [2, 9_999, 10_000]


def test_a_frozen_holder_on_another_machine_cannot_be_killed(tmp_path):
    with Claim.make(tmp_path, 1) as claim:
        elsewhere = ProcessIdentity.own()._replace(machine="elsewhere")
        (claim.epoch.path / "holder").write_text(str(elsewhere))
        assert not claim.epoch.holder.kill()
