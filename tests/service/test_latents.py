"""Mixes of latents in ``/sample`` and ``/latents``: one arithmetic, named by an address."""

import io
from typing import Any

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.service.checks import assert_problem

pytestmark = pytest.mark.usefixtures("trained")

MIX = "s7:0.3,s12:0.7"


def ask(client: TestClient, path: str, **parameters: Any) -> httpx2.Response:
    answer: httpx2.Response = client.get(path, params={"model": "plain", **parameters})
    return answer


def array(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content), allow_pickle=False)


def sample(client: TestClient, **parameters: Any) -> Any:
    return array(ask(client, "/sample", format="npy", **parameters))


def latents(client: TestClient, **parameters: Any) -> Any:
    return array(ask(client, "/latents", format="npy", **parameters))


def combine(client: TestClient, *terms: dict[str, Any], **fields: Any) -> httpx2.Response:
    body = {"model": "plain", "terms": [*terms], "format": "npy", **fields}
    answer: httpx2.Response = client.post("/latents", json=body)
    return answer


@pytest.mark.parametrize("model", ["plain", "conditional", "points", "codes"])
def test_a_mix_of_one_is_the_seed(client: TestClient, model: str) -> None:
    given = {"model": model, "n": 3, "offset": 2, "truncation": 0.7}
    mixed = sample(client, mix="s7:0.5,s8:0", **given)
    assert np.array_equal(mixed, sample(client, seed=7, **given))


def test_item_i_mixes_item_i_of_each_seed(client: TestClient) -> None:
    together = sample(client, mix=MIX, n=12)
    for index in (0, 5, 11):
        assert np.array_equal(together[index], sample(client, mix=MIX, offset=index)[0])


@pytest.mark.parametrize("model", ["plain", "conditional", "points"])
def test_latents_of_a_mix_give_its_items(client: TestClient, model: str) -> None:
    query = {"model": model, "mix": MIX, "n": 3, "truncation": 0.8, "offset": 4}
    found = ask(client, "/latents", format="json", **query).json()
    assert found["mix"] == MIX
    body = {"model": model, "latents": found["latents"], "labels": found["labels"]}
    drawn = array(client.post("/sample", json={**body, "format": "npy"}))
    assert np.array_equal(drawn, sample(client, **query))


def test_a_mix_can_be_kept_and_is_not_sent_twice(client: TestClient) -> None:
    query = {"model": "plain:1", "mix": MIX, "n": 2}
    first = client.get("/sample", params=query)
    assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert "ringside-seed" not in first.headers
    etag = first.headers["etag"]
    again = client.get("/sample", params=query, headers={"If-None-Match": etag})
    assert (again.status_code, again.headers["etag"]) == (304, etag)
    assert client.get("/sample", params=query).content == first.content


def test_every_part_of_a_mix_changes_the_etag(client: TestClient) -> None:
    changes = [{"mix": MIX}, {"mix": "s7:0.4,s12:0.7"}, {"mix": "s12:0.7,s7:0.3"}]
    changes += [{"mix": MIX, "mix_mode": "lerp"}, {"mix": MIX, "offset": 1}, {"seed": 7}]
    etags = {ask(client, "/sample", **change).headers["etag"] for change in changes}
    assert len(etags) == len(changes)


def test_the_label_of_a_mix_is_that_of_its_first_seed_or_the_one_asked_for(
    client: TestClient,
) -> None:
    def labels(**query: Any) -> list[str]:
        answer = ask(client, "/sample", model="conditional", n=8, format="json", **query)
        return [entry["label"] for entry in answer.json()["data"]]

    assert labels(mix=MIX) == labels(seed=7)
    assert labels(mix=MIX) != labels(seed=12)
    assert labels(mix=MIX, label="3") == ["3"] * 8


def test_codes_can_be_set_in_a_mix(client: TestClient) -> None:
    found = latents(client, model="codes", mix=MIX, codes="7,*,-1.5")
    assert found[0, 62:72].argmax() == 7
    assert found[0, 73] == -1.5


def test_an_archive_says_which_mix_it_holds(client: TestClient) -> None:
    found = ask(client, "/sample", format="json", mix="s7,s12:0.0000000001").json()
    assert found["mix"] == "s7:1,s12:0.0000000001"
    assert found["mix_mode"] == "slerp"
    assert found["seed"] is None


def test_a_body_mixes_as_a_query_does(client: TestClient) -> None:
    terms = ({"seed": 7, "weight": 0.3}, {"seed": 12, "weight": 0.7})
    for mode in ("slerp", "lerp"):
        expected = latents(client, mix=MIX, n=5, truncation=0.9, mix_mode=mode)
        found = array(combine(client, *terms, n=5, truncation=0.9, mode=mode))
        assert np.array_equal(found, expected)


def test_a_body_mixes_seeds_with_given_latents(client: TestClient) -> None:
    known = ask(client, "/latents", seed=7, offset=3, format="json").json()["latents"][0]
    found = combine(client, {"latent": known}, {"seed": 12, "offset": 5}, n=2, format="json")
    expected = array(combine(client, {"seed": 7, "offset": 3}, {"seed": 12, "offset": 5}))
    assert np.array_equal(np.array(found.json()["latents"][0], np.float32), expected[0])
    assert len(found.json()["latents"]) == 2


def test_linear_mixes_subtract(client: TestClient) -> None:
    seven, twelve, other = (latents(client, seed=seed) for seed in (7, 12, 31))
    found = latents(client, mix="s7:1,s12:-1,s31:1", mix_mode="lerp")
    assert found == pytest.approx(seven - twelve + other, abs=1e-5)


@pytest.mark.parametrize(
    "mix",
    ["", "7", "s7:", "s7:1,", "s7:x", "s7:nan", "s7:1e3", "s-7:1", "x7:1", "s7:99999", "s7:0",
     "s7:0,s8:0", "s7:1,s8:-0.5", f"s{2**63}:1", ",".join(["s1:1"] * 9)],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/sample", "/latents"])
def test_what_is_no_mix_is_refused(client: TestClient, path: str, mix: str) -> None:
    problem = assert_problem(ask(client, path, mix=mix), 422, "validation")
    assert problem["errors"][0]["parameter"] == "mix"


@pytest.mark.parametrize("mix", ["s7:1,s8:-1", "s7:1,s8:-0.95", "s7:-1"])
def test_linear_mixes_far_from_all_latents_are_refused(client: TestClient, mix: str) -> None:
    problem = assert_problem(ask(client, "/sample", mix=mix, mix_mode="lerp"), 422, "validation")
    assert problem["errors"][0]["parameter"] == "mix"


@pytest.mark.parametrize(
    ("path", "parameters", "name"),
    [
        ("/sample", {"seed": 7, "mix": MIX}, "mix"),
        ("/latents", {"seed": 7, "mix": MIX}, "mix"),
        ("/sample", {"mix_mode": "lerp"}, "mix_mode"),
        ("/sample", {"mix": MIX, "mix_mode": "curl"}, "mix_mode"),
        ("/latents", {}, "seed"),
    ],
)
def test_seed_and_mix_exclude_each_other(
    client: TestClient, path: str, parameters: dict[str, Any], name: str
) -> None:
    problem = assert_problem(ask(client, path, **parameters), 422, "validation")
    assert problem["errors"][0]["parameter"] == name


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"terms": []}, "/terms"),
        ({"terms": [{"seed": 1}] * 9}, "/terms"),
        ({"terms": [{}]}, "/terms/0"),
        ({"terms": [{"seed": 1, "latent": [0.0] * 64}]}, "/terms/0"),
        ({"terms": [{"latent": [0.0] * 64, "offset": 1}]}, "/terms/0"),
        ({"terms": [{"seed": 1}, {"latent": [0.0]}]}, "/terms/1/latent"),
        ({"terms": [{"latent": [1e300] * 64}]}, "/terms/0/latent"),
        ({"terms": [{"seed": -1}]}, "/terms/0/seed"),
        ({"terms": [{"seed": 1, "weight": 0}]}, "/terms"),
        ({"terms": [{"seed": 1}, {"seed": 2, "weight": -0.5}]}, "/terms"),
        ({"mode": "curl"}, "/mode"),
        ({"n": 0}, "/n"),
    ],
)
def test_bad_terms_are_pointed_at(client: TestClient, change: dict[str, Any], pointer: str) -> None:
    body = {"model": "plain", "terms": [{"seed": 1}], **change}
    problem = assert_problem(client.post("/latents", json=body), 422, "validation")
    assert problem["errors"][0]["pointer"] == pointer


def test_too_many_mixed_latents_are_refused(client: TestClient) -> None:
    assert_problem(combine(client, {"seed": 1}, n=65), 422, "sample-too-large")


def test_as_many_points_as_are_given_can_be_drawn_from_their_latents(client: TestClient) -> None:
    query = {"model": "points", "seed": 3, "n": 10_000}
    given = client.get("/latents", params=query, headers={"Accept": "application/json"}).json()
    body = {"model": "points", "latents": given["latents"], "labels": given["labels"]}
    drawn = client.post("/sample", json={**body, "format": "npy"})
    assert drawn.status_code == 200, drawn.text
    seeded = client.get("/sample", params={**query, "format": "npy"})
    assert np.array_equal(array(drawn), array(seeded))
