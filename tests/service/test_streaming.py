"""Long answers are sent while they are drawn, and are the same bytes as short ones."""

import io
import zipfile
from typing import Any

import httpx2
import numpy as np
import pytest
from starlette.testclient import TestClient

from service.drawing import MAX_IMAGES, MAX_STREAMED_IMAGES
from service.problems import Problem
from service.streaming import _Writer
from tests.service.checks import assert_problem

pytestmark = pytest.mark.usefixtures("trained")

MANY = 2 * MAX_IMAGES + 7


def sample(client: TestClient, **parameters: Any) -> httpx2.Response:
    answer: httpx2.Response = client.get("/sample", params={"model": "plain", **parameters})
    assert answer.status_code in (200, 304), answer.text
    return answer


def array(response: httpx2.Response) -> Any:
    return np.load(io.BytesIO(response.content), allow_pickle=False)


@pytest.mark.parametrize("changes", [{}, {"size": 9}, {"truncation": 0.5}, {"offset": 31}])
def test_a_long_array_is_that_of_pages(client: TestClient, changes: dict[str, int]) -> None:
    long = array(sample(client, n=MANY, seed=7, format="npy", **changes))
    first = changes.get("offset", 0)
    given = {**changes, "seed": 7, "format": "npy"}
    pages = [
        array(sample(client, **{**given, "n": count, "offset": first + start}))
        for start, count in ((0, 64), (64, 64), (128, MANY - 128))
    ]
    assert np.array_equal(long, np.concatenate(pages))


@pytest.mark.parametrize("format_", ["npy", "zip", "multipart"])
def test_streamed_bytes_are_those_of_an_answer_in_one_piece(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    given = {"model": "conditional", "n": 40, "seed": 3, "label": "1,4", "format": format_}
    whole = sample(client, **given)
    monkeypatch.setattr("service.drawing.MAX_IMAGES", 16)
    # In another order, as the same request would be answered from memory.
    streamed = sample(client, **dict(reversed(given.items())))
    assert "content-length" in whole.headers
    assert "content-length" not in streamed.headers
    for answer in (whole, streamed):
        assert "compute;dur=" in answer.headers["server-timing"]
    assert streamed.content == whole.content
    assert streamed.headers["etag"] == whole.headers["etag"]


def test_a_long_archive_names_and_labels_every_image(client: TestClient) -> None:
    answer = sample(client, model="conditional", n=MANY, seed=3, offset=5, format="zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names == ["manifest.json", *(f"{5 + index:06d}.png" for index in range(MANY))]


def test_a_long_answer_that_the_client_has_is_not_drawn(client: TestClient) -> None:
    etag = sample(client, n=MANY, seed=7, format="npy").headers["etag"]
    asked = {"model": "plain", "n": MAX_STREAMED_IMAGES, "seed": 7, "format": "npy"}
    again = client.get("/sample", params={**asked, "n": MANY}, headers={"If-None-Match": etag})
    other = client.head("/sample", params=asked)
    assert (again.status_code, other.status_code) == (304, 200)
    assert other.headers["etag"] != etag


def test_the_limits_of_both_kinds_are_said(client: TestClient) -> None:
    asked: dict[str, Any] = {"model": "plain", "seed": 1}
    long = {**asked, "n": MAX_STREAMED_IMAGES + 1, "format": "npy"}
    problem = assert_problem(client.get("/sample", params=long), 422, "sample-too-large")
    assert problem["limit"] == MAX_STREAMED_IMAGES
    picture = {**asked, "n": MAX_IMAGES + 1, "format": "png"}
    problem = assert_problem(client.get("/sample", params=picture), 422, "sample-too-large")
    assert problem["limit"] == MAX_IMAGES
    assert "npy, zip or multipart" in problem["detail"]


def test_a_stream_without_a_place_at_its_start_is_refused_as_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise Problem("overloaded", "too many")

    monkeypatch.setattr("service.engine.engine.Engine._place", full)
    asked = {"model": "plain", "n": MANY, "seed": 1, "format": "npy"}
    assert_problem(client.get("/sample", params=asked), 503, "overloaded")


def test_a_stream_that_loses_its_place_waits_for_another(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.engine.engine import Engine

    calls, place = iter(range(100)), Engine._place

    def sometimes_full(engine: Engine) -> Any:
        # The labels, the first piece, and then none for the second one at first.
        if next(calls) in (2, 3):
            raise Problem("overloaded", "too many")
        return place(engine)

    expected = sample(client, n=MANY, seed=9, format="npy").content
    monkeypatch.setattr("service.engine.engine.Engine._place", sometimes_full)
    monkeypatch.setattr("service.streaming.RETRY_AFTER_SECONDS", 0.01)
    assert sample(client, n=MANY, seed=9, format="npy").content == expected


def test_a_stream_for_which_there_is_no_memory_is_cut_off_and_not_ended_as_if_it_were_whole(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, write = iter(range(100)), _Writer.write

    def narrow(writer: _Writer, images: Any) -> bytes:
        if next(pieces) == 1:
            raise MemoryError
        return write(writer, images)

    monkeypatch.setattr(_Writer, "write", narrow)
    with pytest.raises(RuntimeError, match="response already started"):
        sample(client, n=MANY, seed=10, format="npy")
