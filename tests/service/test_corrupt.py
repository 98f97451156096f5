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
