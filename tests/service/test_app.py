"""The application as a whole: discovery, documentation, health, measurements, HEAD."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from service.app import ROUTERS, create_app
from tests.service.checks import assert_problem
from tests.service.conftest import ADDRESS, Trained
from worker.settings import Settings


@pytest.fixture(scope="module")
def openapi(client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_address_on_the_first_page_answers(client: TestClient) -> None:
    links = client.get("/").json()["links"]
    posts = {"train", "interpolate", "score", "features", "translate"}
    needs_model = {"sample", "latents"}
    for name, path in links.items():
        expected = 405 if name in posts else 422 if name in needs_model else 200
        assert client.get(path).status_code == expected, name


def test_documentation_names_no_other_host(client: TestClient) -> None:
    page = client.get("/docs").text
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    for asset in re.findall(r"/docs/assets/[\w.-]+", page):
        assert client.get(asset).status_code == 200, asset


def test_documentation_may_load_from_itself_alone(client: TestClient) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_operation_ids_are_unique(openapi: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(openapi)]
    assert len(ids) == len(set(ids))


def test_references_of_the_description_lead_somewhere(openapi: dict[str, Any]) -> None:
    schemas = openapi["components"]["schemas"]

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            value = list(value.values())
        if isinstance(value, list):
            for child in value:
                yield from references(child)

    assert {ref.removeprefix("#/components/schemas/") for ref in references(openapi)} <= set(
        schemas
    )


@pytest.mark.parametrize(
    "path",
    [
        "/sample",
        "/latents",
        "/metrics",
        "/jobs/{job_id}/previews/{step}",
        "/datasets/{reference}/preview",
    ],
)
def test_binary_routes_declare_their_own_media_types(openapi: dict[str, Any], path: str) -> None:
    content = openapi["paths"][path]["get"]["responses"]["200"]["content"]
    assert content
    if path not in ("/sample", "/latents"):
        assert "application/json" not in content


def test_every_operation_declares_problem_documents(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi):
        responses = operation["responses"]
        assert "application/problem+json" in responses["default"]["content"], name
        assert "HTTPValidationError" not in str(responses), name


def test_every_route_has_a_description(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi):
        assert operation.get("description"), name


def test_head_answers_as_get_without_a_body(client: TestClient, trained: Trained) -> None:
    paths = [
        "/",
        "/docs",
        "/jobs",
        f"/jobs/{trained.plain}",
        f"/jobs/{trained.plain}/events",
        f"/jobs/{trained.plain}/previews/latest",
        "/models/plain",
        "/recipes",
        "/healthz",
        "/sample?model=plain&n=2&seed=1",
        "/openapi.json",
    ]
    for path in paths:
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code == 200, path
        assert head.content == b"", path
        assert head.headers["content-type"] == got.headers["content-type"], path
        assert head.headers.get("etag") == got.headers.get("etag"), path


def test_head_on_an_address_without_get_is_not_allowed(client: TestClient) -> None:
    assert client.head("/train").status_code == 405


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/datasets", "GET, HEAD, POST"),
        ("PATCH", "/jobs/some", "DELETE, GET, HEAD"),
        ("GET", "/train", "POST"),
        ("BREW", "/sample", "GET, HEAD, POST"),
        ("PUT", "/", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_answered_with_all_right_ones(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed


def test_every_route_serves_under_exactly_one_address() -> None:
    served = [
        (method, route.path)
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]
    assert len(served) == len(set(served))


def test_unknown_addresses_are_not_found(client: TestClient) -> None:
    assert_problem(client.get("/no/such/address"), 404, "not-found")


def test_health_needs_nothing(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_without_redis_it_is_ready_but_degraded(tmp_path: Any) -> None:
    settings = Settings(home=tmp_path)
    nobody = f"unix://{tmp_path}/nobody.sock"
    with TestClient(create_app(settings, nobody), base_url=ADDRESS) as client:
        answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "checks": {"redis": False, "storage": True},
        "workers": None,
    }


def test_without_a_place_to_write_it_is_not_ready(tmp_path: Any, redis_url: str) -> None:
    settings = Settings(home=tmp_path / "home")
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        settings.home.rmdir()
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["checks"] == {"redis": True, "storage": False}


def test_ready_with_redis(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert answer.json()["workers"] == 0


def test_measurements_count_requests_by_route_template(
    client: TestClient, trained: Trained
) -> None:
    client.get(f"/jobs/{trained.plain}")
    client.get("/nowhere")
    client.get("/sample?model=plain&trunctaion=1")
    text = client.get("/metrics").text
    count = "ringside_http_request_duration_seconds_count"
    assert f'{count}{{method="GET",route="/jobs/{{job_id}}",status="200"}}' in text
    assert f'{count}{{method="GET",route="none",status="404"}}' in text
    assert f'{count}{{method="GET",route="/sample",status="422"}}' in text
    assert 'ringside_jobs{status="succeeded"}' in text


def test_measurements_have_no_label_from_a_request(client: TestClient, trained: Trained) -> None:
    client.request("INVENTED", "/jobs")
    client.get("/models/conditional")
    text = client.get("/metrics").text
    assert "INVENTED" not in text
    assert trained.plain not in text
    assert "conditional" not in text


def test_it_answers_while_it_still_sweeps_and_sweeps_to_the_end(
    tmp_path: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, ended = threading.Event(), []

    def sweep(home: Any) -> None:
        assert may_end.wait(30)
        ended.append(home)

    monkeypatch.setattr("service.app.sweep", sweep)
    settings = Settings(home=tmp_path)
    with TestClient(create_app(settings, redis_url), base_url=ADDRESS) as client:
        assert client.get("/healthz").status_code == 200
        assert not ended
        may_end.set()
    assert ended == [tmp_path]
