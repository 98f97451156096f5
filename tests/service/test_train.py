"""``POST /train``: what is accepted is on disk; what is not says why and what to change."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS
from worker.settings import Settings
from worker.store import Store


def post(client: TestClient, body: Any, **headers: str) -> httpx2.Response:
    """Send JSON, also such as no library writes."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    answer: httpx2.Response = client.post(
        "/train", content=content, headers={"Content-Type": "application/json", **headers}
    )
    return answer


def plan(client: TestClient, **body: Any) -> httpx2.Response:
    answer: httpx2.Response = client.post(
        "/train", params={"dry_run": True}, json={"dataset": "digits", **body}
    )
    return answer


def test_an_accepted_job_is_on_disk(client: TestClient, store: Store) -> None:
    answer = post(client, {"dataset": "ring", "steps": 3, "seed": 5})
    assert answer.status_code == 202
    job = store.jobs.get(answer.json()["id"])
    assert answer.headers["location"] == f"/jobs/{job.id}"
    assert answer.headers["retry-after"]
    assert job.config().seed == 5
    assert job.config().schedule.steps == 3


def test_a_dry_run_answers_the_plan_and_trains_nothing(fresh: TestClient) -> None:
    answer = plan(fresh, steps=7)
    assert answer.status_code == 200
    body = answer.json()
    assert body["config"]["schedule"]["steps"] == 7
    assert body["recipe_chosen"]
    assert body["estimate"]["memory_bytes"] > 0
    assert fresh.get("/jobs").json()["data"] == []


TRANSLATING = {"refiner", "translator"}


def test_every_recipe_can_be_planned(client: TestClient) -> None:
    for recipe in client.get("/recipes").json()["data"]:
        dataset = "ring" if recipe["name"] == "points" else "digits"
        source = {"source": "digits"} if recipe["game"]["kind"] in TRANSLATING else {}
        answer = plan(client, dataset=dataset, recipe=recipe["name"], **source)
        if answer.status_code == 422 and "for GPUs" in recipe["summary"]:
            assert_problem(answer, 422, "config-too-large")
            continue
        assert answer.status_code == 200, answer.text
        assert not answer.json()["recipe_chosen"]


def test_without_a_queue_a_job_is_accepted_onto_disk(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    nobody = f"unix://{tmp_path}/nobody.sock"
    with TestClient(create_app(settings, nobody), base_url=ADDRESS) as client:
        answer = post(client, {"dataset": "ring"})
        assert answer.status_code == 202
        job_id = answer.json()["id"]
        assert Store(tmp_path).jobs.get(job_id).record().status == "queued"
        page = client.get(f"/jobs/{job_id}/events", headers={"Accept": "application/json"})
        assert page.json()["data"][-1]["data"] == {"code": "queue-unavailable"}


def test_the_queue_has_an_end(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(home=tmp_path, max_queued_jobs=1)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        assert post(client, {"dataset": "ring"}).status_code == 202
        answer = post(client, {"dataset": "ring"})
    assert assert_problem(answer, 429, "too-many-jobs")["limit"] == 1
    assert answer.headers["retry-after"]


def test_the_same_key_and_body_give_the_same_job(client: TestClient) -> None:
    body = {"dataset": "ring", "steps": 3}
    first = post(client, body, **{"Idempotency-Key": "same"})
    again = post(client, body, **{"Idempotency-Key": "same"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


def test_the_same_key_with_another_body_is_refused(client: TestClient) -> None:
    post(client, {"dataset": "ring", "steps": 3}, **{"Idempotency-Key": "other"})
    answer = post(client, {"dataset": "ring", "steps": 4}, **{"Idempotency-Key": "other"})
    assert_problem(answer, 422, "idempotency-mismatch")


def test_the_same_key_at_the_same_time_gives_one_job(client: TestClient) -> None:
    def send(_: int) -> str:
        answer = post(client, {"dataset": "ring", "steps": 3}, **{"Idempotency-Key": "at once"})
        job_id: str = answer.json()["id"]
        return job_id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(send, range(8)))) == 1


def test_a_key_does_not_bring_a_deleted_job_back(client: TestClient, store: Store) -> None:
    body, key = {"dataset": "ring", "steps": 3}, {"Idempotency-Key": "deleted"}
    job_id = post(client, body, **key).json()["id"]
    client.post(f"/jobs/{job_id}/cancel")
    assert client.delete(f"/jobs/{job_id}").status_code == 204
    problem = assert_problem(post(client, body, **key), 409, "job-deleted")
    assert "new key" in problem["detail"]
    assert not store.jobs.exists(job_id)


def test_a_refused_request_does_not_use_its_key_up(client: TestClient) -> None:
    key = {"Idempotency-Key": "refused first"}
    assert_problem(post(client, {"dataset": "rings"}, **key), 422, "dataset-not-found")
    answer = post(client, {"dataset": "ring", "steps": 3}, **key)
    assert answer.status_code == 202, answer.text
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        {"dataset": "ring", "xyzzy": 1},
        {"dataset": "digits", "game": {"objective": {"kind": "hinge", "real_target": 0.9}}},
        {"dataset": "ring", "optimisation": {"generator": {"kind": "sgd", "beta1": 0.5}}},
    ],
)
def test_no_field_is_offered_that_is_not_there(client: TestClient, body: dict[str, Any]) -> None:
    problem = assert_problem(post(client, body), 422, "validation")
    assert "did you mean" not in str(problem)


@pytest.mark.parametrize("field", ["dataset", "source", "recipe", "start_from"])
def test_an_empty_name_is_not_left_out(client: TestClient, field: str) -> None:
    answer = post(client, {"dataset": "ring", field: ""})
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["errors"][0]["pointer"] == f"/{field}"


def test_a_file_that_is_sent_as_text_is_told_apart(client: TestClient) -> None:
    answer = client.post("/datasets", files={"file": (None, "hello"), "name": (None, "text")})
    problem = assert_problem(answer, 422, "validation")
    assert problem["errors"][0]["pointer"] == "/file"
    assert "send it as a file" in problem["detail"]


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_bad_key_is_refused(client: TestClient, key: str) -> None:
    answer = post(client, {"dataset": "ring"}, **{"Idempotency-Key": key})
    problem = assert_problem(answer, 422, "validation")
    assert problem["errors"][0]["parameter"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("body", "pointer", "hint"),
    [
        ({"dataset": "ring", "step": 5}, "/step", "did you mean steps?"),
        ({"dataset": "ring", "schedule": {"step": 5}}, "/schedule/step", "did you mean steps?"),
        (
            {"dataset": "digits", "game": {"network": {"generator_with": 8}}},
            "/game/network/generator_with",
            "did you mean generator_width?",
        ),
        ({"dataset": "ring", "start": "m"}, "/start", "did you mean start_from?"),
        ({"dataset": "ring", "modl": "m"}, "/modl", "did you mean model?"),
        ({"dataset": "ring", "steps": "5"}, "/steps", "integer"),
        ({"dataset": "ring", "steps": 5.5}, "/steps", "integer"),
        ({"dataset": "ring", "steps": True}, "/steps", "integer"),
        ({"dataset": "ring", "steps": 0}, "/steps", "greater than or equal to 1"),
        ({"dataset": "ring", "steps": 10**18}, "/steps", "less than or equal to"),
        ({"dataset": "ring", "batch_size": 10**9}, "/batch_size", "less than or equal to"),
        ({"dataset": "ring", "learning_rate": -0.0}, "/learning_rate", "greater than 0"),
        ({"dataset": "ring", "learning_rate": 1e308}, "/learning_rate", "less than or equal"),
        ({"dataset": "ring", "learning_rate": "nan"}, "/learning_rate", "number"),
        ({"dataset": "ring", "seed": -1}, "/seed", "greater than or equal to 0"),
        ({"dataset": "ring", "seed": 2**64}, "/seed", ""),
        ({"dataset": 5}, "/dataset", "string"),
        ({}, "/dataset", "required"),
        ([], "", ""),
        ("5", "", ""),
        ({"dataset": "ring", "model": "../up"}, "/model", "pattern"),
        ({"dataset": "ring", "model": "name\n"}, "/model", "pattern"),
        ({"dataset": "ring", "model": "job_1"}, "/model", "may not begin with"),
        ({"dataset": "ring", "model": "x" * 65}, "/model", "pattern"),
        ({"dataset": "ring", "game": {"network": {"kind": "??secret??"}}}, "/game/network", "mlp"),
        (
            {"dataset": "ring", "game": {"penalties": [{"kind": "r1", "gamma": -1}]}},
            "/game/penalties/0/gamma",
            "greater than",
        ),
        ({"dataset": "ring", "game": []}, "/game", "dictionary"),
    ],
)
def test_a_bad_field_is_pointed_at(client: TestClient, body: Any, pointer: str, hint: str) -> None:
    problem = assert_problem(post(client, body), 422, "validation")
    error = problem["errors"][0]
    assert error["pointer"] == pointer
    assert hint in error["detail"]
    assert "secret" not in json.dumps(problem)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"dataset": "ring", "steps": ' + "9" * 4400 + "}",
        "[" * 100_000,
        '{"a":' * 20_000 + "1" + "}" * 20_000,
        b'{"dataset": "\xff\xfe"}',
    ],
)
def test_what_is_not_json_is_malformed_or_invalid(client: TestClient, text: str | bytes) -> None:
    answer = post(client, text)
    assert answer.status_code in (400, 422), answer.text
    assert_problem(answer, answer.status_code, answer.json()["code"])
    assert len(answer.content) < 10_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
@pytest.mark.parametrize(
    "template",
    [
        '{"dataset": "ring", "learning_rate": %s}',
        '{"dataset": "ring", "game": {"penalties": [{"kind": "r1", "gamma": %s}]}}',
        '{"dataset": "ring", "optimisation": {"generator": {"beta1": %s}}}',
        '{"dataset": "ring", "schedule": {"steps": %s}}',
    ],
)
def test_numbers_that_are_none_are_refused(client: TestClient, template: str, number: str) -> None:
    answer = post(client, template % number)
    assert answer.status_code in (400, 422), answer.text
    assert_problem(answer, answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    "template",
    [
        '{"dataset": "%s"}',
        '{"dataset": "ring", "%s": 1}',
        '{"dataset": "ring", "recipe": "%s"}',
        '{"dataset": "ring", "model": "%s"}',
        '{"dataset": "ring", "game": {"%s": 1}}',
        '{"dataset": "ring", "game": {"network": {"kind": "%s"}}}',
        '{"dataset": "ring", "game": {"conditioning": {"kind": "none", "x": "%s"}}}',
    ],
)
@pytest.mark.parametrize("text", ["\\ud800", "\\u0000", "\\u202e", "a/b~c"])
def test_strange_text_is_refused_without_an_error_of_ours(
    client: TestClient, template: str, text: str
) -> None:
    for key in ({}, {"Idempotency-Key": f"strange {template} {text}"}):
        answer = post(client, template % text, **key)
        assert answer.status_code == 422, answer.text
        assert_problem(answer, 422, answer.json()["code"])


def test_many_unknown_fields_give_a_short_answer(client: TestClient) -> None:
    body = {"dataset": "ring", **{f"unknown{index}": 1 for index in range(2_000)}}
    answer = post(client, body)
    problem = assert_problem(answer, 422, "validation")
    assert len(problem["errors"]) == 50
    assert problem["detail"].startswith("2000 problems")


def test_unknown_names_are_refused_with_those_that_exist(client: TestClient) -> None:
    problem = assert_problem(post(client, {"dataset": "rings"}), 422, "dataset-not-found")
    assert problem["errors"][0]["pointer"] == "/dataset"
    assert "did you mean ring?" in problem["detail"]
    problem = assert_problem(
        post(client, {"dataset": "ring", "recipe": "biggan"}), 422, "recipe-not-found"
    )
    assert problem["errors"][0]["pointer"] == "/recipe"
    assert "dcgan" in problem["detail"]


def test_a_game_that_would_not_train_is_refused_with_every_reason(client: TestClient) -> None:
    game = {"objective": {"kind": "wasserstein"}, "conditioning": {"kind": "projection"}}
    answer = plan(
        client,
        dataset="ring",
        recipe="points",
        game={**game, "penalties": [], "labels": {"kind": "given"}},
    )
    problem = assert_problem(answer, 422, "config-invalid")
    codes = {error["code"] for error in problem["errors"]}
    assert "wasserstein-without-lipschitz" in codes
    assert "dataset-unlabelled" in codes
    assert all(error["pointer"].startswith("/game") for error in problem["errors"])


def test_a_training_too_large_for_memory_is_refused(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(home=tmp_path, max_job_memory_bytes=10**6)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        problem = assert_problem(plan(client, recipe="dcgan"), 422, "config-too-large")
    assert problem["limit"] == 10**6
    assert problem["estimate"] > 10**6
    assert problem["batch_size"] is None
    assert "networks" in problem["detail"]


def test_a_refusal_for_memory_names_the_batch_that_fits(tmp_path: Path, redis_url: str) -> None:
    body = {"recipe": "wgan-gp", "batch_size": 64, "optimisation": {"precision": "float32"}}
    settings = Settings(home=tmp_path, max_job_memory_bytes=16 << 20)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        problem = assert_problem(plan(client, **body), 422, "config-too-large")
        assert f"optimisation.accumulate to {problem['accumulate']}" in problem["detail"]
        body["optimisation"] = {"precision": "float32", "accumulate": problem["accumulate"]}
        assert plan(client, **body).status_code == 200


def test_a_step_of_too_much_arithmetic_is_refused(tmp_path: Path, redis_url: str) -> None:
    settings = Settings(home=tmp_path, max_step_flops=1000)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        problem = assert_problem(plan(client, recipe="dcgan"), 422, "config-too-large")
    assert problem["limit"] == 1000


def test_a_batch_larger_than_the_dataset_is_refused(client: TestClient) -> None:
    problem = assert_problem(plan(client, batch_size=4096), 422, "validation")
    assert problem["limit"] < 1797


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_is_not_json_is_refused(client: TestClient, media_type: str) -> None:
    answer = client.post(
        "/train", content=b'{"dataset": "ring"}', headers={"Content-Type": media_type}
    )
    problem = assert_problem(answer, 415, "unsupported-media-type")
    assert problem["supported"] == ["application/json"]


def test_more_clusters_than_items_are_refused(client: TestClient) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8))
    files = {"file": ("few.npy", buffer.getvalue())}
    dataset = client.post("/datasets", files=files).json()["id"]
    body = {"dataset": dataset, "game": {"labels": {"kind": "clusters", "count": 50}}}
    answer = client.post("/train", params={"dry_run": "true"}, json=body)
    assert_problem(answer, 422, "validation")
    assert answer.json()["errors"][0]["pointer"] == "/game/labels/count"
    fitted = client.post("/train", params={"dry_run": "true"}, json={"dataset": dataset})
    assert fitted.json()["config"]["game"]["labels"]["count"] == 2


def test_the_pointer_into_a_patch_names_fields_alone(client: TestClient) -> None:
    body = '{"dataset": "ring", "game": {"objective": {"kind": "hinge", "margin": NaN}}}'
    answer = client.post("/train", content=body, headers={"Content-Type": "application/json"})
    assert answer.json()["errors"][0]["pointer"] == "/game/objective/margin"
