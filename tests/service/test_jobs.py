"""``/jobs``: state, history, previews, and the ways to stop and go on."""

import io
import json
import threading
import time
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.service.checks import assert_problem
from tests.service.conftest import STEPS, Trained
from worker.errors import Unavailable
from worker.jobs import train_job
from worker.queue import Dispatcher
from worker.settings import Settings
from worker.store import Store, locks
from worker.store.events import EventLog
from worker.store.files import new_id
from worker.store.job import Job
from worker.store.jobs import Jobs
from worker.store.models import Models
from worker.store.records import JobError, JobRecord


def events(text: str) -> list[dict[str, Any]]:
    """Server-sent events as dictionaries."""
    blocks = [block for block in text.split("\n\n") if block.startswith("id:")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def queue(client: TestClient, **changes: Any) -> str:
    answer = client.post("/train", json={"dataset": "ring", "steps": 5, **changes})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def test_a_job_says_how_far_it_is(client: TestClient, trained: Trained) -> None:
    job = client.get(f"/jobs/{trained.plain}").json()
    assert job["status"] == "succeeded"
    assert job["progress"]["step"] == job["progress"]["total_steps"] == STEPS
    assert job["progress"]["fraction"] == 1
    assert job["progress"]["eta_seconds"] is None
    assert job["checkpoints"] == 2
    assert job["metrics"]
    for link in job["links"].values():
        assert client.get(link).status_code in (200, 204), link


def test_jobs_are_listed_newest_first_in_pages(fresh: TestClient) -> None:
    made = [queue(fresh, seed=seed) for seed in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        body = fresh.get("/jobs", params=query).json()
        seen += [job["id"] for job in body["data"]]
        cursor = body["next_cursor"]
        assert body["has_more"] == (cursor is not None)
        if cursor is None:
            break
    assert seen == made[::-1]


def test_jobs_are_listed_by_status(client: TestClient, trained: Trained) -> None:
    listed = client.get("/jobs", params={"status": "succeeded", "limit": 200}).json()["data"]
    assert set(trained) <= {job["id"] for job in listed}
    assert {job["status"] for job in listed} == {"succeeded"}


def test_a_page_goes_on_although_its_last_job_left_the_list(fresh: TestClient) -> None:
    made = [queue(fresh, seed=seed) for seed in range(3)]
    query: dict[str, Any] = {"status": "queued", "limit": 1}
    cursor = fresh.get("/jobs", params=query).json()["next_cursor"]
    fresh.post(f"/jobs/{made[2]}/cancel")
    rest = fresh.get("/jobs", params={**query, "limit": 5, "cursor": cursor}).json()
    assert [job["id"] for job in rest["data"]] == [made[1], made[0]]


@pytest.mark.parametrize("query", [{}, {"status": "queued"}])
def test_a_job_deleted_while_the_list_is_read_is_left_out(
    fresh: TestClient, monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    job_id, gone = queue(fresh), new_id("job")
    monkeypatch.setattr(Jobs, "ids", lambda _: [gone, job_id])
    answer = fresh.get("/jobs", params=query)
    assert answer.status_code == 200, answer.text
    assert [job["id"] for job in answer.json()["data"]] == [job_id]


def test_only_the_jobs_of_a_page_are_read(
    fresh: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, read, record = [queue(fresh) for _ in range(4)], set(), Job.record

    def note(job: Job) -> JobRecord:
        read.add(job.id)
        return record(job)

    monkeypatch.setattr(Job, "record", note)
    assert len(fresh.get("/jobs", params={"limit": 2}).json()["data"]) == 2
    assert read == set(made[2:])


def test_a_job_that_the_disk_does_not_give_is_left_out_of_its_page(
    fresh: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, record = [queue(fresh) for _ in range(2)], Job.record

    def fail(job: Job) -> JobRecord:
        if job.id == made[1]:
            raise OSError(5, "Input/output error")
        return record(job)

    monkeypatch.setattr(Job, "record", fail)
    assert [job["id"] for job in fresh.get("/jobs").json()["data"]] == made[:1]


@pytest.mark.parametrize("cursor", ["AAAA", "%%%", "\u00fc", "am9iXzA=", "a"])
def test_a_foreign_cursor_is_refused(client: TestClient, trained: Trained, cursor: str) -> None:
    answer = client.get("/jobs", params={"cursor": cursor})
    assert_problem(answer, 400, "cursor-mismatch")


@pytest.mark.parametrize("part", ["", "/events", "/metrics", "/checkpoints", "/previews/latest"])
@pytest.mark.parametrize("job_id", ["job_" + "0" * 26, "..%2f..%2fetc", "nothing", "job_%00"])
def test_unknown_jobs_are_not_found(client: TestClient, job_id: str, part: str) -> None:
    answer = client.get(f"/jobs/{job_id}{part}")
    assert answer.status_code == 404
    assert_problem(answer, 404, answer.json()["code"])


def test_metrics_come_as_columns(client: TestClient, trained: Trained) -> None:
    body = client.get(f"/jobs/{trained.plain}/metrics").json()
    assert body["columns"]["step"] == [5, 10, 15, 20]
    assert len({len(column) for column in body["columns"].values()}) == 1
    thin = client.get(f"/jobs/{trained.plain}/metrics", params={"max_points": 2}).json()
    assert thin["columns"]["step"] == [10, 20]
    assert (thin["points"], thin["raw_points"]) == (2, 4)


def test_metrics_may_be_chosen_by_name(client: TestClient, trained: Trained) -> None:
    body = client.get(f"/jobs/{trained.plain}/metrics", params={"names": "images_seen"}).json()
    assert list(body["columns"]) == ["step", "images_seen"]
    wrong = client.get(f"/jobs/{trained.plain}/metrics", params={"names": "los"})
    problem = assert_problem(wrong, 422, "validation")
    assert problem["errors"][0]["parameter"] == "names"


def test_previews_show_the_training(client: TestClient, trained: Trained) -> None:
    listed = client.get(f"/jobs/{trained.plain}/previews").json()["data"]
    assert [entry["step"] for entry in listed] == [10, 20]
    for entry in listed:
        answer = client.get(entry["href"])
        assert answer.headers["content-type"] == "image/png"
        Image.open(io.BytesIO(answer.content)).verify()
    assert client.get(f"/jobs/{trained.plain}/previews/latest").content == answer.content


@pytest.mark.parametrize("step", ["11", "-1", "9" * 30])
def test_a_step_without_preview_is_not_found(
    client: TestClient, trained: Trained, step: str
) -> None:
    assert_problem(client.get(f"/jobs/{trained.plain}/previews/{step}"), 404, "not-found")


@pytest.mark.parametrize("step", ["first", "9" * 4400, "1.5"])
def test_a_preview_is_named_by_its_step(client: TestClient, trained: Trained, step: str) -> None:
    assert_problem(client.get(f"/jobs/{trained.plain}/previews/{step}"), 422, "validation")


def test_checkpoints_are_listed_with_a_reference(client: TestClient, trained: Trained) -> None:
    listed = client.get(f"/jobs/{trained.plain}/checkpoints").json()["data"]
    assert [entry["step"] for entry in listed] == [10, 20]
    for entry in listed:
        query = {"model": entry["reference"], "seed": 1}
        answer = client.get("/sample", params=query)
        assert answer.headers["ringside-checkpoint"] == entry["digest"]


def test_the_whole_configuration_can_be_read(client: TestClient, trained: Trained) -> None:
    config = client.get(f"/jobs/{trained.plain}/config").json()
    assert config["schedule"]["steps"] == STEPS
    assert config["optimisation"]["batch_size"] == 16


def test_events_tell_the_whole_history(client: TestClient, trained: Trained) -> None:
    answer = client.get(f"/jobs/{trained.plain}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert [int(event["id"]) for event in told] == list(range(1, len(told) + 1))
    kinds = [event["event"] for event in told]
    assert kinds[0] == "job.status"
    # Evaluations may come after the end of the training.
    assert [kind for kind in kinds if kind.startswith("job.")][-1] == "job.done"
    assert {"job.metrics", "checkpoint.created", "preview.created", "model.version"} <= set(kinds)
    assert all(json.loads(event["data"])["at"] for event in told)


def test_events_go_on_after_the_last_one_seen(client: TestClient, trained: Trained) -> None:
    address = f"/jobs/{trained.plain}/events"
    told = events(client.get(address).text)
    rest = client.get(address, headers={"Last-Event-ID": told[3]["id"]})
    assert events(rest.text) == told[4:]
    assert events(client.get(address, params={"after": 4}).text) == told[4:]


def test_a_settled_job_with_nothing_new_ends_the_stream(
    client: TestClient, trained: Trained
) -> None:
    address = f"/jobs/{trained.plain}/events"
    last = events(client.get(address).text)[-1]["id"]
    assert client.get(address, headers={"Last-Event-ID": last}).status_code == 204
    assert client.get(address, headers={"Last-Event-ID": "9" * 12}).status_code == 204


def test_events_come_as_lines_or_a_page(client: TestClient, trained: Trained) -> None:
    address = f"/jobs/{trained.plain}/events"
    told = events(client.get(address).text)
    lines = client.get(address, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    assert [json.loads(line)["type"] for line in lines] == [event["event"] for event in told]
    as_json = {"Accept": "application/json"}
    first = client.get(address, params={"limit": 3}, headers=as_json).json()
    assert [event["id"] for event in first["data"]] == [1, 2, 3]
    assert first["has_more"]
    rest = client.get(address, params={"after": first["last_event_id"]}, headers=as_json).json()
    assert len(rest["data"]) == len(told) - 3
    assert not rest["has_more"]


@pytest.mark.parametrize("last", ["-1", "one", "1.5", "9" * 30, "1-0", "", "\u0663"])
def test_a_bad_last_event_id_is_refused(client: TestClient, trained: Trained, last: str) -> None:
    answer = client.get(f"/jobs/{trained.plain}/events", headers={"Last-Event-ID": last.encode()})
    problem = assert_problem(answer, 422, "validation")
    assert problem["errors"][0]["parameter"] == "Last-Event-ID"


def test_events_in_another_format_are_refused(client: TestClient, trained: Trained) -> None:
    answer = client.get(f"/jobs/{trained.plain}/events", headers={"Accept": "text/html"})
    assert_problem(answer, 406, "not-acceptable")


def test_a_stream_follows_a_job_to_its_end(
    client: TestClient, settings: Settings, store: Store
) -> None:
    job = store.jobs.get(queue(client))
    trainer = threading.Thread(target=train_job, args=(settings, job, threading.Event()))
    trainer.start()
    told = events(client.get(f"/jobs/{job.id}/events").text)
    trainer.join()
    assert told[-1]["event"] == "job.done"


def test_head_of_a_stream_does_not_wait_for_its_end(client: TestClient) -> None:
    job_id = queue(client)
    answer = client.head(f"/jobs/{job_id}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    client.post(f"/jobs/{job_id}/cancel")


def test_an_event_id_from_elsewhere_does_not_silence_the_stream(client: TestClient) -> None:
    job_id = queue(client)

    def cancel_when_streaming() -> None:
        deadline = time.monotonic() + 30
        while not client.app.state.streams and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.01)
        client.post(f"/jobs/{job_id}/cancel")

    canceling = threading.Thread(target=cancel_when_streaming)
    canceling.start()
    told = events(client.get(f"/jobs/{job_id}/events", headers={"Last-Event-ID": "999"}).text)
    canceling.join()
    assert told[-1]["event"] == "job.done"


def test_a_queued_job_is_cancelled_at_once(client: TestClient) -> None:
    job_id = queue(client)
    assert client.post(f"/jobs/{job_id}/cancel").json()["status"] == "canceled"
    again = client.post(f"/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "canceled")
    told = events(client.get(f"/jobs/{job_id}/events").text)
    assert told[-1]["event"] == "job.done"
    assert_problem(client.post(f"/jobs/{job_id}/pause"), 409, "job-finished")
    assert_problem(client.post(f"/jobs/{job_id}/resume"), 409, "nothing-to-resume")


def test_a_paused_job_goes_on(client: TestClient, settings: Settings, store: Store) -> None:
    job_id = queue(client)
    assert client.post(f"/jobs/{job_id}/pause").json()["status"] == "paused"
    answer = client.post(f"/jobs/{job_id}/resume")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert_problem(client.post(f"/jobs/{job_id}/resume"), 409, "conflict")
    train_job(settings, store.jobs.get(job_id), threading.Event())
    assert client.get(f"/jobs/{job_id}").json()["status"] == "succeeded"


def test_a_canceled_job_with_a_checkpoint_goes_on(
    client: TestClient, settings: Settings, store: Store
) -> None:
    job = store.jobs.get(queue(client))
    train_job(settings, job, threading.Event())
    assert client.post(f"/jobs/{job.id}/resume", json={"steps": 8}).status_code == 202
    assert client.post(f"/jobs/{job.id}/cancel").json()["status"] == "canceled"
    answer = client.post(f"/jobs/{job.id}/resume")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    client.post(f"/jobs/{job.id}/cancel")


def test_a_job_that_failed_before_its_first_checkpoint_begins_again(
    client: TestClient, settings: Settings, store: Store
) -> None:
    job = store.jobs.get(queue(client))
    with job.locked() as record:
        job.end(record, "failed", JobError(code="out-of-memory", detail="too large"))
    answer = client.post(f"/jobs/{job.id}/resume").json()
    assert (answer["status"], answer["error"]) == ("queued", None)
    train_job(settings, job, threading.Event())
    assert client.get(f"/jobs/{job.id}").json()["status"] == "succeeded"


def test_a_job_that_waits_for_storage_says_so_and_can_be_stopped(
    client: TestClient, store: Store
) -> None:
    for stop, status in (("pause", "paused"), ("cancel", "canceled")):
        job = store.jobs.get(queue(client))
        with job.locked() as record:
            job.change(record, status="paused", error=JobError(code="storage-full", detail="full"))
        assert client.get(f"/jobs/{job.id}").json()["error"]["code"] == "storage-full"
        answer = client.post(f"/jobs/{job.id}/{stop}").json()
        assert (answer["status"], answer["error"]) == (status, None)


def test_a_stream_ends_where_the_job_was_paused(client: TestClient) -> None:
    job_id = queue(client)
    client.post(f"/jobs/{job_id}/pause")
    told = events(client.get(f"/jobs/{job_id}/events").text)
    assert json.loads(told[-1]["data"])["status"] == "paused"


def test_a_resumed_job_is_accepted_although_the_queue_fails_just_then(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("queue-unavailable", "Redis does not answer")

    job_id = queue(client)
    client.post(f"/jobs/{job_id}/pause")
    monkeypatch.setattr(Dispatcher, "enqueue", fail)
    answer = client.post(f"/jobs/{job_id}/resume")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    client.post(f"/jobs/{job_id}/cancel")
    told = events(client.get(f"/jobs/{job_id}/events").text)
    (warning,) = [event for event in told if event["event"] == "job.warning"]
    assert json.loads(warning["data"])["code"] == "queue-unavailable"


def test_a_finished_job_can_be_trained_further(
    client: TestClient, settings: Settings, store: Store
) -> None:
    job_id = queue(client)
    train_job(settings, store.jobs.get(job_id), threading.Event())
    problem = assert_problem(client.post(f"/jobs/{job_id}/resume"), 409, "nothing-to-resume")
    assert "more steps" in problem["detail"]
    assert client.post(f"/jobs/{job_id}/resume", json={"steps": 8}).status_code == 202
    train_job(settings, store.jobs.get(job_id), threading.Event())
    assert client.get(f"/jobs/{job_id}").json()["progress"]["step"] == 8


def test_a_finished_job_cannot_be_stopped(client: TestClient, trained: Trained) -> None:
    assert_problem(client.post(f"/jobs/{trained.plain}/cancel"), 409, "job-finished")
    assert_problem(client.post(f"/jobs/{trained.plain}/pause"), 409, "job-finished")


def test_a_live_job_and_one_that_a_model_needs_are_kept(
    client: TestClient, trained: Trained
) -> None:
    job_id = queue(client)
    assert_problem(client.delete(f"/jobs/{job_id}"), 409, "conflict")
    assert_problem(client.delete(f"/jobs/{trained.plain}"), 409, "conflict")
    client.post(f"/jobs/{job_id}/cancel")
    assert client.delete(f"/jobs/{job_id}").status_code == 204
    assert_problem(client.get(f"/jobs/{job_id}"), 404, "job-not-found")
    assert_problem(client.delete(f"/jobs/{job_id}"), 404, "job-not-found")


def test_nobody_changes_a_job_between_the_look_at_it_and_its_removal(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.jobs.get(queue(client))
    client.post(f"/jobs/{job.id}/pause")
    used = Models.checkpoints_in_use

    def resume_meanwhile(models: Models, job_id: str) -> set[str]:
        with monkeypatch.context() as patched:
            patched.setattr(locks, "_TIMEOUT_SECONDS", 0.05)
            assert_problem(client.post(f"/jobs/{job_id}/resume"), 503, "job-busy")
        return used(models, job_id)

    monkeypatch.setattr(Models, "checkpoints_in_use", resume_meanwhile)
    assert client.delete(f"/jobs/{job.id}").status_code == 204
    assert_problem(client.post(f"/jobs/{job.id}/resume"), 404, "job-not-found")
    assert not job.path.exists()


def test_a_job_that_waits_for_storage_can_be_deleted(client: TestClient, store: Store) -> None:
    job = store.jobs.get(queue(client))
    with job.locked() as record:
        job.change(record, status="paused", error=JobError(code="storage-full", detail="full"))
    assert client.delete(f"/jobs/{job.id}").status_code == 204
    assert not job.path.exists()


def test_checkpoints_are_hashed_while_datasets_can_be_used(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = queue(client)
    client.post(f"/jobs/{job_id}/pause")
    looked: list[str] = []

    def look(job: Job, until: int | None) -> None:
        with store.datasets.kept():
            looked.append(job.id)

    monkeypatch.setattr(locks, "_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(Job, "newest_sound_checkpoint", look)
    assert client.post(f"/jobs/{job_id}/resume").status_code == 202
    assert looked == [job_id]
    client.post(f"/jobs/{job_id}/cancel")


def test_a_stream_ends_with_the_end_of_a_job_that_was_killed_before_it_was_told(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.jobs.get(queue(client))
    with job.locked() as record, monkeypatch.context() as patched:
        patched.setattr(EventLog, "append", lambda *_: None)
        job.end(record, "canceled")
    address, last_id = f"/jobs/{job.id}/events", job.events.last_id
    told = events(client.get(address, headers={"Last-Event-ID": str(last_id)}).text)
    assert [event["event"] for event in told] == ["job.status", "job.done"]
    assert client.get(address, params={"after": last_id + 2}).status_code == 204
