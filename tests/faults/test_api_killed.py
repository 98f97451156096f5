"""An API that is killed, or stopped, in the middle of whatever it does."""

import io
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from service.cli.follow import EventStream
from tests.faults.api import Api, serving
from tests.faults.api_killed import lost_replies
from worker.store import Store

STREAMS, TRIALS, SEEDS = 20, 6, range(11, 23)
_BOUNDARY = b"x-boundary-x"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def fresh_job(api: Api) -> str:
    job_id: str = api.submit()["id"]
    return job_id


def upload_bytes(size: int) -> bytes:
    """The body of a form with so many bytes of items."""
    items = np.random.default_rng(0).integers(0, 256, (size // 64, 8, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    np.save(buffer, items)
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.npy"\r\n\r\n'
    return head % _BOUNDARY + buffer.getvalue() + b"\r\n--%s--\r\n" % _BOUNDARY


def begin_upload(api: Api, body: bytes, sent_bytes: int) -> socket.socket:
    """Send the beginning of an upload."""
    host, port = httpx2.URL(api.url).host, httpx2.URL(api.url).port
    connection = socket.create_connection((host, port or 80))
    lines = ["POST /datasets HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in api.headers.items()]
    lines += [f"Content-Type: multipart/form-data; boundary={_BOUNDARY.decode()}", "", ""]
    connection.sendall("\r\n".join(lines).encode() + body[:sent_bytes])
    return connection


def spooled_bytes(api: Api) -> int:
    """Size of the nameless file into which the API writes an upload as it comes."""
    sizes = [0]
    for path in Path(f"/proc/{api.pid}/fd").iterdir():
        if str(path.readlink()).startswith("/tmp/") and path.stat().st_nlink == 0:
            sizes.append(path.stat().st_size)
    return max(sizes)


def datasets(api: Api) -> list[str]:
    return [entry["id"] for entry in api.client.get("/datasets").json()["data"]]


def test_of_a_half_upload_and_a_half_import_nothing_is_seen_after_a_kill(
    api: Api, wait_until: Callable[..., Any]
) -> None:
    before, body = datasets(api), upload_bytes(6 * 2**20)
    with begin_upload(api, body, len(body) // 2):
        wait_until(lambda: spooled_bytes(api) > 2 * 2**20, "half an upload")
        with begin_upload(api, body, len(body)):
            wait_until(lambda: list(api.home.glob("datasets/.*import*")), "an import")
            api.restart()
    assert datasets(api) == before
    assert not [*api.home.glob("uploads/*"), *api.home.glob("datasets/.*import*")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_streams_go_on_after_a_restart_without_gap_or_duplicate(
    api: Api, fresh_job: str, number: int
) -> None:
    events, stop = Store(api.home).jobs.get(fresh_job).events, threading.Event()

    def write() -> None:
        while not stop.wait(0.005):
            events.append("job.metrics", {"step": 1})

    def read(started: threading.Barrier) -> list[int]:
        ids = []
        with httpx2.Client(base_url=api.url, headers=api.headers) as client:
            for event in EventStream(client, fresh_job, patience_seconds=30):
                if not ids:
                    started.wait(30)
                ids.append(int(event.id))
        return ids

    writer, started = threading.Thread(target=write), threading.Barrier(STREAMS + 1)
    writer.start()
    with ThreadPoolExecutor(STREAMS) as readers:
        reading = [readers.submit(read, started) for _ in range(STREAMS)]
        started.wait(30)
        seen_before, began = events.last_id, time.monotonic()
        api.signal(number)
        api.wait(10)
        stopped_after = time.monotonic() - began
        api.start()
        stop.set()
        writer.join()
        api.client.post(f"/jobs/{fresh_job}/cancel").raise_for_status()
        every_id = list(range(1, events.last_id + 1))
        assert all(future.result() == every_id for future in reading)
    assert len(every_id) > seen_before
    assert stopped_after < 10


def test_a_lost_reply_neither_loses_nor_doubles_a_job(api: Api) -> None:
    cut_off = 0
    # Whether a kill falls between a job and its reply is up to the machine: go on until one has.
    for seed in SEEDS:
        report = lost_replies(api, TRIALS, seed)
        assert (report.jobs, report.duplicates, report.lost) == (TRIALS, 0, 0), report
        cut_off += report.cut_off
        if cut_off:
            break
    assert cut_off > 0, f"no reply was lost in {len(SEEDS)} kills"
