"""A job whose files are damaged: it is said, it can be removed, and it harms no other job."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.service.checks import assert_problem


@pytest.fixture(params=["job.json", "config.json"])
def damaged(request: pytest.FixtureRequest, fresh: TestClient, tmp_path: Path) -> str:
    """A job one of whose files is torn, beside a sound one."""
    fresh.post("/train", json={"dataset": "ring"}).raise_for_status()
    job_id: str = fresh.post("/train", json={"dataset": "ring"}).json()["id"]
    (tmp_path / "home" / "jobs" / job_id / request.param).write_bytes(b'{"id": "job_')
    return job_id


def test_a_damaged_job_is_left_out_of_lists(fresh: TestClient, damaged: str) -> None:
    for query in ("", "?status=queued"):
        listed = [job["id"] for job in fresh.get(f"/jobs{query}").json()["data"]]
        assert len(listed) == 1
        assert damaged not in listed
    assert fresh.get("/metrics").status_code == 200


def test_a_damaged_job_says_so_and_what_to_do(fresh: TestClient, damaged: str) -> None:
    answer = fresh.get(f"/jobs/{damaged}")
    problem = assert_problem(answer, 503, "job-corrupt")
    assert "delete" in problem["detail"].lower()
    assert answer.headers["retry-after"]


def test_a_damaged_job_keeps_nobody_from_training(fresh: TestClient, damaged: str) -> None:
    assert fresh.post("/train", json={"dataset": "ring"}).status_code == 202
    assert fresh.get("/datasets/ring").status_code == 200


@pytest.mark.parametrize("damaged", ["job.json"], indirect=True)
def test_a_damaged_job_can_be_deleted(fresh: TestClient, damaged: str) -> None:
    assert fresh.delete(f"/jobs/{damaged}").status_code == 204
    assert_problem(fresh.get(f"/jobs/{damaged}"), 404, "job-not-found")


def test_a_damaged_model_hides_no_other_and_says_what_to_do(
    fresh: TestClient, tmp_path: Path
) -> None:
    for model in ("sound", "damaged"):
        fresh.post("/train", json={"dataset": "ring", "model": model}).raise_for_status()
    files = (tmp_path / "home" / "models").glob("*.json")
    (file,) = (file for file in files if b"damaged" in file.read_bytes())
    file.write_bytes(b"")
    assert [model["name"] for model in fresh.get("/models").json()["data"]] == ["sound"]
    for path in ("/models/damaged", "/sample?model=damaged"):
        assert_problem(fresh.get(path), 503, "model-corrupt")
    assert_problem(fresh.get("/models/gone"), 404, "model-not-found")


def test_a_damaged_name_of_a_dataset_hides_no_other_and_can_be_given_anew(
    fresh: TestClient, tmp_path: Path
) -> None:
    fresh.get("/datasets").raise_for_status()
    names = tmp_path / "home" / "datasets" / "names"
    (file,) = (file for file in names.glob("*.json") if b'"ring"' in file.read_bytes())
    file.write_bytes(b"")
    assert len(fresh.get("/datasets").json()["data"]) > 1
    assert fresh.get("/datasets/ring").status_code == 200
    assert file.read_bytes()


def test_a_damaged_idempotency_key_is_refused(fresh: TestClient, tmp_path: Path) -> None:
    headers, body = {"Idempotency-Key": "once"}, {"dataset": "ring"}
    fresh.post("/train", json=body, headers=headers).raise_for_status()
    (file,) = (tmp_path / "home").rglob("idempotency*/*.json")
    file.write_bytes(b"")
    assert_problem(fresh.post("/train", json=body, headers=headers), 409, "conflict")
