"""The short way gives what the long way gives, and no request that is odd takes it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from service import deps
from service.app import create_app
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS, Trained
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import CheckpointCorrupt
from worker.store.references import Resolved


@pytest.fixture
def again(settings: Settings, redis_url: str, trained: Trained) -> Iterator[TestClient]:
    """An application of its own, which has learned nothing yet."""
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        yield client


def value(client: TestClient, name: str) -> float:
    """A measurement of one application."""
    found = re.search(rf"^{re.escape(name)} (.*)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that are looked up from here on; the short way looks none up."""
    found: list[str] = []
    resolve = deps.resolve

    def watch(store: Store, reference: str) -> Resolved:
        found.append(reference)
        return resolve(store, reference)

    monkeypatch.setattr(deps, "resolve", watch)
    return found


# A request with a body goes the long way, however short its body is.
LONG = {"Content-Length": "0"}


def lasting(response: httpx2.Response) -> list[tuple[str, str]]:
    """The headers of a response but those that name it or tell its time."""
    own = ("x-request-id", "server-timing", "date")
    return sorted((name, text) for name, text in response.headers.items() if name not in own)


@pytest.mark.parametrize(
    "query",
    [
        "model=plain:1",
        "model=plain:1&n=3&format=npy",
        "model=conditional&label=3,4&n=4&columns=2",
        "model=points&n=100&format=json",
        "model=points&n=3&format=csv",
        "truncation=0.5&model=plain",
    ],
)
def test_the_short_way_gives_what_the_long_way_gives(
    again: TestClient, client: TestClient, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    again.get(f"/sample?{query}&seed=1")
    looked_up = look_ups(monkeypatch)
    for numbers in ("seed=5", "seed=5&offset=3", "offset=9007199254740992&seed=0"):
        url = f"/sample?{query}&{numbers}"
        short = again.get(url)
        assert looked_up == []
        long = client.get(url, headers=LONG)
        assert short.status_code == long.status_code == 200, short.text
        assert short.content == long.content
        assert lasting(short) == lasting(long)
        known = {"If-None-Match": f'"other", {short.headers["etag"]}'}
        looked_up.clear()
        short = again.get(url, headers=known)
        assert looked_up == []
        long = client.get(url, headers=known | LONG)
        assert len(looked_up) == 1
        assert short.status_code == long.status_code == 304
        assert lasting(short) == lasting(long)
        looked_up.clear()


@pytest.mark.parametrize("name", ["offse%74", "off%73et"])
def test_an_offset_under_an_escaped_name_is_not_forgotten(again: TestClient, name: str) -> None:
    plain = again.get("/sample?model=plain:1&seed=5&offset=7")
    for _ in range(2):
        escaped = again.get(f"/sample?model=plain:1&seed=5&{name}=7")
        assert escaped.headers["etag"] == plain.headers["etag"]
        assert escaped.content == plain.content


def test_a_long_request_is_answered_and_not_remembered(
    again: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = look_ups(monkeypatch)
    for seed in range(3):
        again.get(f"/sample?model=plain:1{'&' * 5000}&seed={seed}").raise_for_status()
    assert len(looked_up) == 3


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ("seed=-1", "validation"),
        ("seed=1.5", "validation"),
        (f"seed={2**64}", "validation"),
        (f"seed=1&offset={2**53 + 1}", "validation"),
        ("seed=1&seed=2", "repeated-parameter"),
        ("seed=1&offset=", "validation"),
        ("seed=1&sed=2", "unknown-parameter"),
    ],
)
def test_bad_numbers_are_refused_as_ever(again: TestClient, numbers: str, code: str) -> None:
    again.get("/sample?model=plain&seed=1")
    assert_problem(again.get(f"/sample?model=plain&{numbers}"), 422, code)


def test_another_accept_header_is_another_request(again: TestClient) -> None:
    again.get("/sample?model=plain&seed=1")
    answer = again.get("/sample?model=plain&seed=2", headers={"Accept": "application/x-npy"})
    assert answer.headers["content-type"] == "application/x-npy"


def test_a_name_that_means_another_version_is_looked_up_again(
    again: TestClient, store: Store, trained: Trained
) -> None:
    name = "moving"
    steps = [checkpoint.step for checkpoint in store.jobs.get(trained.plain).checkpoints()]
    for number, step in enumerate(steps, start=1):
        checkpoint = store.jobs.get(trained.plain).checkpoint(step)
        assert checkpoint is not None
        store.models.add_version(name, trained.plain, step, checkpoint.digest)
        for _ in range(2):
            answer = again.get(f"/sample?model={name}&seed=1")
            assert answer.headers["ringside-model"] == f"{name}:{number}"
            assert answer.headers["ringside-checkpoint"] == checkpoint.digest
    store.models.delete(name)
    assert_problem(again.get(f"/sample?model={name}&seed=1"), 404, "model-not-found")


def test_what_moves_while_it_is_looked_up_is_looked_up_again(
    again: TestClient, store: Store, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, job = "moved-meanwhile", store.jobs.get(trained.plain)
    first, second = job.checkpoints()[:2]
    store.models.add_version(name, job.id, first.step, first.digest)
    resolve = deps.resolve

    def move_after(store: Store, reference: str) -> Resolved:
        found = resolve(store, reference)
        store.models.add_version(name, job.id, second.step, second.digest)
        return found

    monkeypatch.setattr(deps, "resolve", move_after)
    again.get(f"/sample?model={name}&seed=1")
    monkeypatch.setattr(deps, "resolve", resolve)
    answer = again.get(f"/sample?model={name}&seed=1")
    assert answer.headers["ringside-model"] == f"{name}:2"
    store.models.delete(name)


def test_what_goes_wrong_on_the_short_way_is_told_as_on_the_long_one(
    again: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "/sample?model=plain:1"
    again.get(f"{query}&seed=1").raise_for_status()

    def damaged(*_: Any) -> Any:
        raise CheckpointCorrupt("a byte was flipped")

    monkeypatch.setattr("ganmodels.sampling.Sampler.draw", damaged)
    assert_problem(again.get(f"{query}&seed=2"), 503, "checkpoint-corrupt")


def test_an_answer_is_drawn_once(again: TestClient) -> None:
    query = "/sample?model=plain:1&seed=12345"
    first = again.get(query)
    for _ in range(3):
        kept_one = again.get(query)
        assert kept_one.content == first.content
        assert kept_one.headers["server-timing"] == 'cache;desc="kept"'
    drawn, kept = (
        value(again, f'ringside_sample_answers_total{{source="{source}"}}')
        for source in ("drawn", "kept")
    )
    assert (drawn, kept) == (1, 3)
    not_modified = again.get(query, headers={"If-None-Match": first.headers["etag"]})
    assert not_modified.status_code == 304
    assert not_modified.headers["server-timing"] == 'cache;desc="not modified"'
    assert value(again, 'ringside_sample_answers_total{source="not_modified"}') == 1


def test_answers_and_batches_are_measured(again: TestClient) -> None:
    answer = again.get("/sample?model=plain&seed=3&n=5")
    stages = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(stages) == ["queue", "compute", "encode"]
    assert all(float(milliseconds) >= 0 for milliseconds in stages.values())
    assert value(again, 'ringside_inference_batch_rows_sum{operation="draw"}') == 5
    stage = 'ringside_inference_stage_seconds_count{operation="draw",stage="compute"}'
    assert value(again, stage) == 1
    assert value(again, "ringside_model_loads_total") == 1
    assert value(again, "ringside_model_cache_bytes") > 0
    assert value(again, "ringside_inference_waiting_requests") == 0
    route = (
        'ringside_http_request_duration_seconds_count{method="GET",route="/sample",status="200"}'
    )
    assert value(again, route) == 1


def test_a_version_is_loaded_before_an_alias_sends_requests_to_it(again: TestClient) -> None:
    again.put("/models/plain/aliases/warm", json={"version": 1}).raise_for_status()
    assert value(again, "ringside_model_loads_total") == 1
    again.get("/sample?model=plain@warm&seed=1").raise_for_status()
    assert value(again, "ringside_model_loads_total") == 1
    again.delete("/models/plain/aliases/warm").raise_for_status()


def test_a_version_says_how_it_was_made_ready_once_it_was(again: TestClient) -> None:
    def preparation() -> Any:
        return again.get("/models/plain").json()["versions"][0]["preparation"]

    assert preparation() is None
    again.get("/sample?model=plain:1&seed=1").raise_for_status()
    found = preparation()
    assert found["precision"] in ("float32", "bfloat16")
    assert found["folded_norms"] > 0
    assert found["batch_sizes"] == sorted(found["batch_sizes"])
    assert found["reason"]


def test_a_short_way_is_timed_under_its_route(
    again: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    again.get("/sample?model=plain&seed=0")
    looked_up = look_ups(monkeypatch)
    for seed in (1, 2):
        again.get(f"/sample?model=plain&seed={seed}")
    assert looked_up == []
    route = (
        'ringside_http_request_duration_seconds_count{method="GET",route="/sample",status="200"}'
    )
    assert value(again, route) == 3


def test_a_request_on_the_short_way_is_named_as_any_other(
    again: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    again.get("/sample?model=plain:1&seed=1")
    looked_up = look_ups(monkeypatch)
    unnamed = again.get("/sample?model=plain:1&seed=2")
    assert unnamed.headers["x-request-id"].startswith("req_")
    named = again.get("/sample?model=plain:1&seed=3", headers={"X-Request-ID": "mine-7"})
    assert named.headers["x-request-id"] == "mine-7"
    odd = again.get("/sample?model=plain:1&seed=4", headers={"X-Request-ID": "not sane"})
    assert odd.headers["x-request-id"].startswith("req_")
    assert looked_up == []


def test_a_key_opens_the_short_way_for_itself_alone(
    settings: Settings, redis_url: str, trained: Trained
) -> None:
    guarded = Settings(home=settings.home, api_keys=SecretStr("first,second"))
    with TestClient(create_app(guarded, redis_url), base_url=ADDRESS) as client:
        query = "/sample?model=plain:1"
        client.get(f"{query}&seed=1", headers={"X-API-Key": "first"}).raise_for_status()
        for seed, headers in enumerate(
            ({}, {"X-API-Key": "third"}, {"Authorization": "Bearer first, second"})
        ):
            refused = client.get(f"{query}&seed={seed}", headers=headers)
            assert_problem(refused, 401, "unauthenticated")
        client.get(f"{query}&seed=2", headers={"X-API-Key": "second"}).raise_for_status()


def test_without_keys_a_foreign_host_is_refused_on_the_short_way_too(again: TestClient) -> None:
    again.get("/sample?model=plain:1&seed=1").raise_for_status()
    refused = again.get("/sample?model=plain:1&seed=2", headers={"Host": "attacker.example"})
    assert_problem(refused, 403, "forbidden-origin")


def test_a_refusal_on_the_short_way_says_when_to_come_again(
    settings: Settings, redis_url: str, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        client.get("/sample?model=plain:1&seed=1").raise_for_status()
        monkeypatch.setattr(client.app.state.engine, "_limit", 0)
        looked_up = look_ups(monkeypatch)
        refused = client.get("/sample?model=plain:1&seed=2")
        assert looked_up == []
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"]
        assert refused.headers["x-content-type-options"] == "nosniff"
        route = 'ringside_http_request_duration_seconds_count{method="GET",route="/sample",status='
        assert value(client, route + '"503"}') == 1
