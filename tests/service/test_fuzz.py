"""Whatever is sent to whatever route, the answer is no error of ours: a 500 is always a bug."""

import json
import string
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from service.app import ROUTERS
from service.methods import allowed
from service.strict import query_names
from tests.service.conftest import Trained

pytestmark = pytest.mark.usefixtures("trained")

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(max_size=20) | st.sampled_from(
    ["plain", "conditional", "points", "digits", "ring", "latest", "best", "prod", "..", "\x00"]
)
numbers = (
    st.integers(-(2**70), 2**70)
    | st.integers(-2, 20)
    | st.floats()
    | st.sampled_from([1e308, 10**400, 0, 1])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.just("\ud800"),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(texts, child, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "network objective penalties conditioning labels latent augmentation batch_size generator "
    "decay average steps keep_last kind"
)
merge_patches = st.dictionaries(
    st.sampled_from(FIELDS.split()),
    values
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(["mlp", "resnet", "dcgan", "projection", "clusters", "hinge"])}
    ),
    max_size=3,
)
train_bodies = st.fixed_dictionaries(
    {"dataset": st.sampled_from(["digits", "ring"])},
    optional={
        "recipe": st.sampled_from(["dcgan", "cgan", "wgan-gp", "sngan", "points", "vanilla"]),
        "model": texts,
        "steps": numbers,
        "batch_size": numbers,
        "learning_rate": numbers,
        "seed": numbers,
        "game": merge_patches,
        "optimisation": merge_patches,
        "schedule": merge_patches,
    },
)
mixes = st.sampled_from(["s7:0.3,s12:0.7", "s1", "s1:0", "s1:-1,s2:9", "x", ""]) | texts
some_latents = st.sampled_from([[0.0] * 64, [1e6] * 64, [1e-45] * 64, [0.0], []]) | values
places = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 20) | numbers,
        "offset": st.integers(0, 20) | numbers,
        "latent": some_latents,
        "weight": numbers,
        "mix": mixes,
        "mix_mode": st.sampled_from(["slerp", "lerp", "curl"]),
    },
)
ways = {
    "model": st.sampled_from([*Trained._fields]),
    "mode": st.sampled_from(["slerp", "lerp"]),
    "truncation": st.sampled_from([0, 0.7, 1.5]) | numbers,
    "format": st.sampled_from(["npy", "json", "gif"]),
}
combinations = st.fixed_dictionaries({**ways, "terms": st.lists(places, max_size=4)})
interpolations = st.fixed_dictionaries(
    {**ways, "keyframes": st.lists(places, max_size=4), "steps": st.integers(1, 3) | numbers},
    optional={"loop": st.booleans(), "easing": st.sampled_from(["linear", "smoothstep"])},
)
headers = st.fixed_dictionaries(
    {},
    optional={
        name: st.text(string.printable.strip(), max_size=20)
        for name in ("Accept", "If-None-Match", "Last-Event-ID", "Idempotency-Key", "Range")
    },
)


def address(route: APIRoute, parts: list[str]) -> str:
    """The route's path with its parameters filled in."""
    filled = route.path
    for name, part in zip(sorted(route.param_convertors), parts, strict=False):
        filled = filled.replace(f"{{{name}}}", quote(part, safe="") or "x")
    return filled


@FEW
@given(body=train_bodies)
def test_no_training_request_is_an_error_of_ours(client: TestClient, body: Any) -> None:
    answer = client.post(
        "/train?dry_run=true",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code != 200:
        assert answer.json()["code"]


@FEW
@given(combination=combinations, interpolation=interpolations)
def test_no_mix_is_an_error_of_ours(
    client: TestClient, combination: Any, interpolation: Any
) -> None:
    for path, body in (("/latents", combination), ("/interpolate", interpolation)):
        answer = client.post(
            path, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (200, 400, 406, 422), answer.text


@FEW
@given(mix=mixes, mode=st.sampled_from(["slerp", "lerp"]), n=st.integers(1, 4))
def test_no_mix_in_an_address_is_an_error_of_ours(
    client: TestClient, mix: str, mode: str, n: int
) -> None:
    query = {"model": "codes", "mix": mix, "mix_mode": mode, "n": n}
    for path in ("/latents", "/sample"):
        assert client.get(path, params=query).status_code in (200, 422)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.path} {route.methods}")
def test_no_request_is_an_error_of_ours(
    client: TestClient, trained: Trained, route: APIRoute
) -> None:
    known = sorted(query_names(route.dependant))
    names = st.sampled_from([*known, "unknown"])
    method = sorted(route.methods or ())[0]

    @settings(FEW, max_examples=12)
    @given(
        parts=st.lists(texts | st.sampled_from([*trained]), min_size=2, max_size=2),
        query=st.dictionaries(names, texts | numbers.map(str), max_size=4),
        body=values,
        given_headers=headers,
    )
    def send(
        parts: list[str], query: dict[str, str], body: Any, given_headers: dict[str, str]
    ) -> None:
        if method == "DELETE" and parts[0] in trained:
            return
        options: dict[str, Any] = {"params": query, "headers": given_headers}
        if method in ("POST", "PUT"):
            options["content"] = json.dumps(body)
            options["headers"] = {**given_headers, "Content-Type": "application/json"}
        answer = client.request(method, address(route, parts), **options)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code

    send()


@FEW
@given(path=st.text(max_size=30), method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "TRACE"]))
def test_no_address_is_an_error_of_ours(client: TestClient, path: str, method: str) -> None:
    answer = client.request(method, "/" + quote(path), follow_redirects=False)
    assert answer.status_code < 500


def test_every_route_allows_its_own_methods() -> None:
    for route in ROUTES:
        path = address(route, ["a", "b"])
        assert (route.methods or set()) <= set(allowed(ROUTES, path))
