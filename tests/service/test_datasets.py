"""``/datasets``: what people may send, what they may not, and how both are answered."""

import gzip
import io
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.routes.datasets import MAX_IMPORTS
from tests.service.checks import assert_problem
from worker.store.datasets import Datasets


def send(client: TestClient, content: bytes, **fields: str) -> httpx2.Response:
    answer: httpx2.Response = client.post(
        "/datasets", files={"file": ("upload", content)}, data=fields
    )
    return answer


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), value).save(buffer, "PNG")
    return buffer.getvalue()


def archive(members: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def idx(shape: tuple[int, ...], data: bytes) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + data


@pytest.fixture(scope="module")
def folders(client: TestClient) -> dict[str, Any]:
    """A dataset of two classes, imported once."""
    members = {f"{name}/{value}.png": png(value) for name in "ab" for value in (1, 2, 3)}
    answer = send(client, archive(members), name="folders", size="16")
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_an_archive_of_folders_becomes_a_dataset(
    client: TestClient, folders: dict[str, Any]
) -> None:
    assert folders["name"] == "folders"
    assert folders["classes"] == ["a", "b"]
    assert (folders["space"]["height"], folders["space"]["width"]) == (16, 16)
    assert client.get("/datasets/folders").json() == folders
    preview = client.get(folders["links"]["preview"])
    assert preview.headers["content-type"] == "image/png"
    Image.open(io.BytesIO(preview.content)).verify()


def test_the_same_content_is_stored_once(client: TestClient, folders: dict[str, Any]) -> None:
    members = {f"{name}/{value}.png": png(value) for name in "ab" for value in (1, 2, 3)}
    again = send(client, archive(members), size="16x16")
    assert (again.status_code, again.json()["id"]) == (200, folders["id"])
    assert again.headers["location"] == f"/datasets/{folders['id']}"


def test_a_name_stands_for_one_dataset(client: TestClient, folders: dict[str, Any]) -> None:
    answer = send(client, npz(images=np.zeros((3, 8, 8), np.uint8)), name="folders")
    assert_problem(answer, 409, "name-taken")


def test_idx_with_labels_becomes_a_dataset(client: TestClient) -> None:
    images = gzip.compress(idx((4, 8, 8), bytes(range(256))))
    labels = idx((4,), bytes([0, 1, 1, 0]))
    answer = client.post("/datasets", files={"file": ("i", images), "labels": ("l", labels)})
    assert answer.status_code == 201, answer.text
    assert len(answer.json()["classes"]) == 2
    dataset = answer.json()["id"]
    assert client.delete(f"/datasets/{dataset}").status_code == 204
    assert_problem(client.get(f"/datasets/{dataset}"), 404, "dataset-not-found")


def test_a_dataset_in_use_is_kept(client: TestClient, folders: dict[str, Any]) -> None:
    body = {"dataset": "folders", "steps": 1, "batch_size": 2, "recipe": "dcgan"}
    body["game"] = {"labels": {"count": 2}}  # type: ignore[assignment]
    job = client.post("/train", json=body)
    assert job.status_code == 202, job.text
    problem = assert_problem(client.delete("/datasets/folders"), 409, "dataset-in-use")
    assert job.json()["id"] in problem["detail"]
    client.post(f"/jobs/{job.json()['id']}/cancel")


def test_a_preview_that_is_gone_is_not_found(fresh: TestClient, tmp_path: Path) -> None:
    dataset_id = fresh.get("/datasets/ring").json()["id"]
    assert fresh.get("/datasets/ring/preview").status_code == 200
    (tmp_path / "home" / "datasets" / dataset_id / "preview.png").unlink()
    assert_problem(fresh.get("/datasets/ring/preview"), 404, "not-found")


def test_built_in_datasets_are_listed_and_stay(client: TestClient) -> None:
    listed = {dataset["name"]: dataset for dataset in client.get("/datasets").json()["data"]}
    assert {"digits", "ring", "grid"} <= set(listed)
    assert listed["digits"]["count"] == 1797
    assert_problem(client.delete("/datasets/digits"), 409, "dataset-built-in")


def bomb() -> bytes:
    return archive({"a.png": bytes(30 * 2**20)}, compression=zipfile.ZIP_DEFLATED)


def many_empty_files(count: int = 20_000) -> bytes:
    """As ``archive`` would make it, only fifty times as fast."""
    local = struct.Struct("<4s5H3L2H10s")
    central = struct.Struct("<4s6H3L5H2L10s")
    names = [b"%06d.png" % index for index in range(count)]
    files = [local.pack(b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 10, 0, name) for name in names]
    entries = [
        central.pack(
            *(b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 10, 0, 0, 0, 0, 0),
            *(index * local.size, name),
        )
        for index, name in enumerate(names)
    ]
    sizes = (count * central.size, count * local.size)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, *sizes, 0)
    return b"".join([*files, *entries, end])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lambda: archive({"../../evil.png": png(1), "b.png": png(2)}), "zip-slip"),
        (bomb, "zip-bomb"),
        (many_empty_files, None),
        (lambda: idx((1000, 1000, 1000), bytes(100)), "idx-size-mismatch"),
        (lambda: idx((2**32 - 1,) * 3, bytes(100)), "idx-size-mismatch"),
        (lambda: npz(images=np.array([{}, {}], dtype=object)), "object-array"),
        (lambda: b"", None),
        (lambda: b"hello", None),
        (lambda: archive({"a.txt": b"x"}), None),
        (lambda: archive({"a.png": b"x", "b.png": b"y", "c.png": png(1)}), None),
    ],
    ids=[
        "zip slip",
        "zip bomb",
        "20,000 empty files",
        "lying idx",
        "overflowing idx",
        "object array",
        "empty",
        "text",
        "no images",
        "mostly unreadable",
    ],
)
def test_hostile_files_are_refused_with_a_reason(
    client: TestClient, content: Any, code: str | None
) -> None:
    answer = send(client, content())
    problem = assert_problem(answer, 422, code or answer.json()["code"])
    assert "/tmp" not in answer.text
    assert len(problem["detail"]) > 20


def test_more_imports_than_places_are_refused_at_once(fresh: TestClient) -> None:
    places = fresh.app.state.imports  # type: ignore[attr-defined]
    for _ in range(MAX_IMPORTS):
        places.acquire()
    answer = send(fresh, b"hello")
    assert_problem(answer, 503, "overloaded")
    assert int(answer.headers["retry-after"]) > 0
    places.release()
    # A refused file gives its place back.
    for _ in range(MAX_IMPORTS):
        assert send(fresh, b"hello").status_code == 422


def test_names_are_read_once_for_a_list(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, calls = Datasets.names, []
    monkeypatch.setattr(Datasets, "names", lambda self: calls.append(1) or read(self))
    assert len(client.get("/datasets").json()["data"]) >= 3
    assert len(calls) == 1


def test_nothing_is_left_of_a_refused_file(client: TestClient, settings: Any) -> None:
    before = client.get("/datasets").json()
    send(client, b"hello", name="never")
    assert client.get("/datasets").json() == before
    assert list((settings.home / "uploads").iterdir()) == []
    assert_problem(client.get("/datasets/never"), 404, "dataset-not-found")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "../up"}, "/name"),
        ({"name": "UPPER"}, "/name"),
        ({"name": "ds_1"}, "/name"),
        ({"name": "a\x00"}, "/name"),
        ({"name": "x" * 65}, "/name"),
        ({"size": "big"}, "/size"),
        ({"size": "0"}, "/size"),
        ({"size": "2000"}, "/size"),
        ({"size": "9" * 5000}, "/size"),
        ({"size": "\u0663\u0662"}, "/size"),
    ],
)
def test_bad_fields_are_pointed_at(
    client: TestClient, fields: dict[str, str], pointer: str
) -> None:
    problem = assert_problem(send(client, b"x", **fields), 422, "validation")
    assert problem["errors"][0]["pointer"] == pointer


def test_a_form_without_a_file_is_refused(client: TestClient) -> None:
    answer = client.post("/datasets", files={"labels": ("l", b"x")})
    problem = assert_problem(answer, 422, "validation")
    assert problem["errors"][0]["pointer"] == "/file"
    answer = client.post(
        "/datasets", content=b"x", headers={"Content-Type": "application/octet-stream"}
    )
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("reference", ["nobody", "ds_" + "0" * 32, "..%2f..", "%00", "x" * 3000])
def test_unknown_datasets_are_not_found(client: TestClient, reference: str) -> None:
    for part in ("", "/preview"):
        answer = client.get(f"/datasets/{reference}{part}")
        assert_problem(answer, 404, answer.json()["code"])


def test_a_built_in_name_cannot_be_taken(client: TestClient) -> None:
    answer = send(client, archive({f"{n}.png": png(n) for n in range(30)}), name="digits")
    assert_problem(answer, 409, "name-taken")
    assert client.get("/datasets/digits").json()["count"] == 1797


def test_the_name_of_a_dataset_that_is_gone_is_free(fresh: TestClient, tmp_path: Path) -> None:
    first = send(fresh, archive({f"{n}.png": png(n) for n in range(30)}), name="mine").json()
    shutil.rmtree(tmp_path / "home" / "datasets" / first["id"])
    second = send(fresh, archive({f"{n}.png": png(n + 1) for n in range(30)}), name="mine")
    assert second.status_code == 201, second.text
    assert fresh.get("/datasets/mine").json()["id"] == second.json()["id"]
