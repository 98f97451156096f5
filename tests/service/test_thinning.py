"""Histories of any length are thinned while they are read, and keep what they say."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.thinning import thin
from tests.service.histories import write_epoch
from tests.worker.builders import make_job
from worker.store import Store


def steps(rows: Any) -> list[int]:
    return [row["step"] for row in rows]


@pytest.mark.parametrize("most", [2, 9, 10])
@pytest.mark.parametrize("count", [0, 1, 2, 8, 9, 10, 11, 19, 20, 21, 1_000])
def test_rows_are_thinned_evenly_and_the_last_is_kept(count: int, most: int) -> None:
    thinned = thin(({"step": step} for step in range(count)), most)
    kept = steps(thinned.rows)
    assert thinned.total == count
    assert kept[-1:] == list(range(count))[-1:]
    assert len(set(b - a for a, b in pairwise(kept[:-1]))) <= 1
    assert kept == list(range(count)) if count <= most else most / 2 <= len(kept) <= most


def test_never_more_than_so_many_rows_are_held() -> None:
    alive: set[int] = set()

    class Counted(dict[str, Any]):
        def __init__(self, step: int) -> None:
            super().__init__(step=step)
            alive.add(step)

        def __del__(self) -> None:
            alive.discard(self["step"])

    def rows() -> Iterator[Counted]:
        for step in range(1_000):
            assert len(alive) <= 10 + 2
            yield Counted(step)

    assert len(thin(rows(), 10).rows) <= 10


@pytest.mark.parametrize("every", [7, 10, 16, 100])
def test_readings_now_and_then_are_not_left_out_by_chance(every: int) -> None:
    rows = [{"step": n} | ({"seen": n} if n % every == every - 1 else {}) for n in range(1_000)]
    thinned = thin(rows, 50)
    assert thinned.names == ("step", "seen")
    readings = [row for row in thinned.rows if "seen" in row]
    assert len(readings) >= min(1_000 // every, len(thinned.rows) // 2) - 1


def test_metrics_know_the_columns_that_any_row_has(client: TestClient, store: Store) -> None:
    job = make_job(store)
    rows = [{"step": 1, "loss": 1.0, "diversity": 0.5}, {"step": 2, "loss": 2.0}]
    write_epoch(job, 1, 0, rows)
    body = client.get(f"/jobs/{job.id}/metrics").json()
    assert body["columns"] == {"step": [1, 2], "loss": [1.0, 2.0], "diversity": [0.5, None]}
    named = client.get(f"/jobs/{job.id}/metrics", params={"names": "diversity"})
    assert named.json()["columns"] == {"step": [1, 2], "diversity": [0.5, None]}
