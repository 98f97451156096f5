"""What no route declares is refused, everywhere in the same way."""

import pytest
from starlette.testclient import TestClient

from tests.service.checks import assert_problem
from tests.service.conftest import Trained


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/sample?model=plain&trunctaion=0.5", "truncation"),
        ("/latents?model=plain&seeds=1", "seed"),
        ("/jobs?limt=5", "limit"),
        ("/jobs?stats=queued", "status"),
    ],
)
def test_a_misspelt_parameter_is_refused_with_the_right_one(
    client: TestClient, path: str, near: str
) -> None:
    problem = assert_problem(client.get(path), 422, "unknown-parameter")
    assert f"did you mean {near}?" in problem["detail"]
    assert problem["errors"][0]["parameter"] in path


@pytest.mark.parametrize(
    "path", ["/", "/models", "/recipes", "/healthz", "/readyz", "/datasets/ring", "/docs"]
)
def test_routes_without_parameters_refuse_any(client: TestClient, path: str) -> None:
    assert_problem(client.get(path, params={"verbose": "1"}), 422, "unknown-parameter")


def test_a_repeated_parameter_is_refused(client: TestClient, trained: Trained) -> None:
    answer = client.get("/sample?model=plain&seed=1&seed=2")
    problem = assert_problem(answer, 422, "repeated-parameter")
    assert problem["errors"][0]["parameter"] == "seed"


def test_posts_refuse_unknown_parameters_too(client: TestClient) -> None:
    answer = client.post("/train?dryrun=true", json={"dataset": "ring"})
    problem = assert_problem(answer, 422, "unknown-parameter")
    assert "did you mean dry_run?" in problem["detail"]
    answer = client.post("/score?modle=x", content=b"", headers={"Content-Type": "image/png"})
    assert_problem(answer, 422, "unknown-parameter")


def test_a_misspelt_form_field_is_refused(client: TestClient) -> None:
    files = {"file": ("a.npy", b"x"), "label": ("b", b"x")}
    problem = assert_problem(client.post("/datasets", files=files), 422, "unknown-field")
    assert "did you mean labels?" in problem["detail"]
    assert problem["errors"][0]["pointer"] == "/label"


def test_a_repeated_form_field_is_refused(client: TestClient) -> None:
    files = [("file", ("a", b"x")), ("file", ("b", b"x"))]
    assert_problem(client.post("/datasets", files=files), 422, "repeated-field")


@pytest.mark.parametrize(
    "name",
    [
        "\x00",
        "\U0001f600",
        "x" * 5000,
        "a[]=1",
        "<img onerror=alert(1)>",
    ],
)
def test_strange_parameters_are_refused_shortly(client: TestClient, name: str) -> None:
    answer = client.get("/jobs", params={name: "1"})
    assert_problem(answer, 422, "unknown-parameter")
    assert len(answer.content) < 1000


def test_thousands_of_parameters_are_refused(client: TestClient) -> None:
    query = "&".join(f"p{index}=1" for index in range(8_000))
    assert_problem(client.get(f"/jobs?{query}"), 422, "unknown-parameter")
