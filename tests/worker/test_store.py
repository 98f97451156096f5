"""Events, models, references, names and idempotency keys."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.builders import make_job, train
from worker.errors import Conflict, NotFound
from worker.names import file_stem, is_id, is_name
from worker.store.events import EventLog
from worker.store.files import new_id
from worker.store.references import resolve


def test_event_ids_count_without_gaps_whoever_writes(tmp_path):
    def write() -> None:
        log = EventLog(tmp_path / "events.jsonl")
        for number in range(25):
            log.append("test", {"number": number})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = EventLog(tmp_path / "events.jsonl")
    assert [event.id for event in log.after(0)] == list(range(1, 101))
    assert [event.id for event in log.after(97)] == [98, 99, 100]


def test_a_reader_goes_on_where_it_was_and_takes_some_at_a_time(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    reader = log.reader(2)
    assert reader.read(10) == []
    for number in range(6):
        log.append("test", {"number": number})
    assert [event.id for event in reader.read(3)] == [3, 4, 5]
    assert [event.id for event in reader.read(3)] == [6]
    with path.open("ab") as file:
        file.write(b'{"id": 7, "type": "to')
    assert reader.read(3) == []
    log.append("seventh", {})
    assert [event.type for event in reader.read(3)] == ["seventh"]


def test_a_torn_last_event_is_not_read_and_is_cut_off_by_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append("first", {})
    with path.open("ab") as file:
        file.write(b'{"id": 2, "type": "to')
    assert [event.type for event in log.after(0)] == ["first"]
    log.append("second", {})
    assert [(event.id, event.type) for event in log.after(0)] == [(1, "first"), (2, "second")]


@pytest.mark.parametrize("spoiled", [bytes(100), bytes(200_000), b"[1]\n{}garbage\n" + bytes(5)])
def test_what_a_power_cut_left_behind_the_last_event_is_cut_off(tmp_path, spoiled):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.append("first", {})
    log.append("second", {})
    with path.open("ab") as file:
        file.write(spoiled)
    assert [event.type for event in log.after(0)] == ["first", "second"]
    log.append("third", {})
    assert [event.id for event in EventLog(path).after(0)] == [1, 2, 3]


def test_rows_behind_what_a_power_cut_spoiled_are_left_out(store, home):
    job = make_job(store)
    train(job, home)
    path = job.epochs()[-1].path
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(bytes(100) + b"\n")
    (path / "progress.json").write_bytes(bytes(100))
    assert [row["step"] for row in job.metrics()] == [2, 4, 6, 8]
    assert job.progress() == {}


def test_references_mean_what_they_say(store, home):
    job = make_job(store, model="digits")
    with pytest.raises(NotFound, match="no checkpoint yet"):
        resolve(store, "digits")
    with pytest.raises(NotFound, match="no checkpoint yet"):
        resolve(store, job.id)
    train(job, home)
    newest = job.checkpoint()
    store.models.set_alias("digits", "prod", 1)
    for reference, pinned in (
        ("digits", False),
        ("digits:1", True),
        ("digits@prod", False),
        (job.id, False),
        (f"{job.id}:8", False),
    ):
        resolved = resolve(store, reference)
        assert resolved.checkpoint.digest == newest.digest
        assert resolved.pinned == pinned
    assert resolve(store, f"{job.id}:4").checkpoint.manifest.step == 4


@pytest.mark.parametrize(
    "reference",
    [
        "nobody",
        "digits:2",
        "digits:x",
        "digits@none",
        "job_x",
        "../digits",
        "",
        ":",
        "@",
        "a:9" * 9,
        "job_" + "0" * 26,
        "digits:" + "9" * 30,
    ],
)
def test_references_that_mean_nothing_are_not_found(store, reference):
    store.models.add_job("digits", "job_" + "1" * 26)
    with pytest.raises(NotFound):
        resolve(store, reference)


def test_an_unknown_name_is_answered_with_the_nearest_one(store):
    store.models.add_job("my-digits", "job_" + "1" * 26)
    with pytest.raises(NotFound, match="did you mean my-digits"):
        store.models.get("my-digit")
    with pytest.raises(NotFound, match="did you mean digits"):
        store.datasets.get("digit")


def test_a_version_is_added_once_per_checkpoint(store):
    first = store.models.add_version("m", "job_a", 5, "digest")
    assert store.models.add_version("m", "job_a", 5, "digest") == first
    assert store.models.add_version("m", "job_a", 9, "other").version == 2


def test_an_idempotency_key_belongs_to_one_body(store):
    with store.idempotency.lock("key"):
        remembered = store.idempotency.recall("key", "body")
    assert is_id("job", remembered.job_id)
    assert store.idempotency.recall("key", "body") == remembered
    assert store.idempotency.recall("another key", "body").job_id != remembered.job_id
    with pytest.raises(Conflict, match="another body"):
        store.idempotency.recall("key", "other")


def test_an_idempotency_key_knows_whether_its_job_was_made(store):
    with store.idempotency.lock("key"):
        before = store.idempotency.recall("key", "body")
        store.idempotency.mark_made("key")
        after = store.idempotency.recall("key", "body")
    assert not before.made
    assert after == before._replace(made=True)


def test_a_builtin_dataset_cannot_be_deleted(store):
    with pytest.raises(Conflict, match="built-in"):
        store.datasets.delete(store.datasets.get("ring").manifest.id)


@given(st.text(max_size=70))
def test_no_path_is_made_of_what_a_user_wrote(text):
    stem = file_stem(text)
    assert len(stem) == 40
    assert stem.isalnum()
    if is_name(text):
        assert "/" not in text
        assert ".." not in text
        assert text == text.strip()


@pytest.mark.parametrize(
    "text", ["", "A", "-a", "a-", "a b", "../a", "a/b", "a\n", "ä", "job_a", "ds_a", "a" * 65]
)
def test_these_are_no_names(text):
    assert not is_name(text)


def test_ids_are_recognised_and_nothing_else_is():
    assert is_id("job", new_id("job"))
    assert not is_id("job", new_id("ds"))
    assert not is_id("job", "job_../../../../../../etc/passwd")
