"""Locks have a time limit, and make nothing but their own file."""

import pytest

from worker.errors import Conflict, Unavailable
from worker.store import Store, locks
from worker.store.events import EventLog
from worker.store.locks import locked

BUSY = Unavailable("busy", "somebody else is inside")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "_TIMEOUT_SECONDS", 0.05)


def test_who_waits_too_long_for_a_lock_is_told_so(tmp_path, impatient):
    with locked(tmp_path / "lock", BUSY):
        with pytest.raises(Unavailable, match="inside"), locked(tmp_path / "lock", BUSY):
            pytest.fail("two were inside")
        with locked(tmp_path / "another", BUSY):
            pass


def test_a_lock_is_free_after_a_block_that_failed(tmp_path, impatient):
    with pytest.raises(KeyError), locked(tmp_path / "lock", BUSY):
        raise KeyError
    with locked(tmp_path / "lock", BUSY):
        pass


def test_a_lock_makes_no_directory(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "gone" / "lock", BUSY):
        pytest.fail("there is nothing to lock")
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_for_ever_for_datasets_models_or_events(tmp_path, impatient):
    store, log = Store(tmp_path), EventLog(tmp_path / "events.jsonl")
    store.models.add_job("taken", "job_a")
    (lock,) = tmp_path.glob("models/*.lock")
    with locked(lock, BUSY), pytest.raises(Unavailable, match="model is being changed"):
        store.models.add_job("taken", "job_b")
    with (
        store.datasets.kept(),
        pytest.raises(Unavailable, match="datasets are being changed"),
        store.datasets.kept(),
    ):
        pytest.fail("two were inside")
    with locked(tmp_path / "events.lock", BUSY), pytest.raises(Unavailable, match="history"):
        log.append("test", {})


def test_a_key_whose_first_request_is_at_work_is_a_conflict(tmp_path, impatient):
    keys = Store(tmp_path).idempotency
    with keys.lock("key"), pytest.raises(Conflict, match="at work"), keys.lock("key"):
        pytest.fail("two were inside")
