"""``/models`` and ``/recipes``."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.service.checks import assert_problem
from tests.service.conftest import Trained
from worker.store import Store

pytestmark = pytest.mark.usefixtures("trained")


def test_models_are_listed_with_versions_and_space(client: TestClient, trained: Trained) -> None:
    models = {model["name"]: model for model in client.get("/models").json()["data"]}
    assert set(Trained._fields) <= set(models)
    plain = models["plain"]
    assert plain["space"]["kind"] == "image"
    assert plain["jobs"] == [trained.plain]
    assert plain["versions"][0]["reference"] == "plain:1"
    assert client.get("/models/plain").json() == plain


def test_an_alias_can_be_set_moved_and_removed(client: TestClient) -> None:
    answer = client.put("/models/points/aliases/prod", json={"version": 1})
    assert answer.json()["aliases"] == {"prod": 1}
    assert answer.json()["versions"][0]["aliases"] == ["prod"]
    assert client.get("/sample?model=points@prod&seed=1").status_code == 200
    assert client.delete("/models/points/aliases/prod").json()["aliases"] == {}
    problem = client.get("/sample?model=points@prod&seed=1")
    assert_problem(problem, 404, "alias-not-found")


def test_a_version_can_be_looked_at_by_its_number_and_its_alias(client: TestClient) -> None:
    client.put("/models/plain/aliases/shown", json={"version": 1}).raise_for_status()
    (listed,) = client.get("/models/plain").json()["versions"]
    assert client.get("/models/plain:1").json() == listed
    assert client.get("/models/plain@shown").json() == listed
    assert (listed["object"], listed["reference"]) == ("version", "plain:1")
    client.delete("/models/plain/aliases/shown").raise_for_status()
    assert_problem(client.get("/models/plain:2"), 404, "version-not-found")
    assert_problem(client.get("/models/plain@shown"), 404, "alias-not-found")
    assert_problem(client.get("/models/nobody:1"), 404, "model-not-found")


def test_a_checkpoint_of_a_job_can_be_looked_at_and_says_how_it_was_made_ready(
    client: TestClient, trained: Trained
) -> None:
    client.get("/sample", params={"model": trained.plain, "seed": 1}).raise_for_status()
    newest = client.get(f"/models/{trained.plain}").json()
    assert (newest["object"], newest["job"]) == ("reference", trained.plain)
    assert newest["preparation"]["device"] == "cpu"
    named = client.get(f"/models/{newest['reference']}").json()
    assert named == newest
    assert_problem(client.get(f"/models/{trained.plain}:7"), 404, "checkpoint-not-found")
    assert_problem(client.get(f"/models/{trained.plain}@prod"), 404, "alias-not-found")


def test_a_reference_to_a_version_never_means_another_one(
    client: TestClient, store: Store, trained: Trained
) -> None:
    """Answers to it are kept for a year."""
    name, job = "fleeting", store.jobs.get(trained.plain)
    first, second = job.checkpoints()[:2]
    store.models.add_version(name, job.id, first.step, first.digest)
    client.delete(f"/models/{name}").raise_for_status()
    assert_problem(client.get(f"/models/{name}"), 404, "model-not-found")
    assert name not in {model["name"] for model in client.get("/models").json()["data"]}
    store.models.add_version(name, job.id, second.step, second.digest)
    assert_problem(client.get(f"/sample?model={name}:1&seed=1"), 404, "version-not-found")
    answer = client.get(f"/sample?model={name}&seed=1")
    assert answer.headers["ringside-model"] == f"{name}:2"
    client.delete(f"/models/{name}").raise_for_status()


def test_an_alias_points_at_a_version_that_exists(client: TestClient) -> None:
    answer = client.put("/models/plain/aliases/prod", json={"version": 9})
    assert_problem(answer, 404, "version-not-found")
    assert_problem(client.delete("/models/plain/aliases/no-such"), 404, "alias-not-found")
    answer = client.put("/models/nobody/aliases/prod", json={"version": 1})
    assert_problem(answer, 404, "model-not-found")


@pytest.mark.parametrize("body", [{}, {"version": 0}, {"version": "1"}, {"version": 10**30}])
def test_a_bad_version_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.put("/models/plain/aliases/prod", json=body)
    assert_problem(answer, 422, "validation")


@pytest.mark.parametrize("alias", ["UPPER", "a b", "x" * 65, "-a", "%0a"])
def test_a_bad_name_of_an_alias_is_refused(client: TestClient, alias: str) -> None:
    answer = client.put(f"/models/plain/aliases/{alias}", json={"version": 1})
    assert_problem(answer, 422, "validation")


def test_recipes_come_with_a_schema(client: TestClient) -> None:
    body = client.get("/recipes").json()
    for recipe in body["data"]:
        assert client.get(f"/recipes/{recipe['name']}").json() == recipe
        assert recipe["summary"] and recipe["papers"]
    schema = body["config_schema"]
    assert schema["properties"]["schedule"]
    defined = {f"#/$defs/{name}" for name in schema["$defs"]}

    def references(value: Any) -> Iterator[str]:
        for child in value.values() if isinstance(value, dict) else value:
            if isinstance(child, dict | list):
                yield from references(child)
        if isinstance(value, dict) and "$ref" in value:
            yield value["$ref"]

    assert set(references(schema)) <= defined


def test_an_unknown_recipe_is_not_found(client: TestClient) -> None:
    problem = assert_problem(client.get("/recipes/dcgam"), 404, "recipe-not-found")
    assert "did you mean dcgan?" in problem["detail"]


def test_the_type_of_a_problem_leads_to_its_meaning(client: TestClient) -> None:
    problems = [
        client.get("/sample?model=plain&n=65"),
        client.get("/sample?model=nobody"),
        client.get("/jobs/job_00000000000000000000000000"),
        client.get("/datasets/nobody"),
        client.post("/datasets", files={"file": b"no data"}),
        client.post("/datasets", files={"file": b"no data"}, data={"name": "ring"}),
        client.put("/models/plain/aliases/best", json={"version": 99}),
    ]
    for problem in (answer.json() for answer in problems):
        meaning = client.get(problem["type"])
        assert meaning.status_code == 200, problem
        assert meaning.json()["title"] == problem["title"]
