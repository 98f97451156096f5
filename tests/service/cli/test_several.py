"""Several API processes on one port: requests outlive a process, and measurements add up."""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.cli.setup import free_port
from tests.worker.builders import make_job, train
from worker.processes import start, stop
from worker.settings import Settings
from worker.store import Store

PATIENCE_SECONDS = 90
COUNTED = r'ringside_http_request_duration_seconds_count\{.*route="/sample",status="200"\} (.*)'


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def several(tmp_path: Path, wait_until: Callable[..., Any]) -> Iterator[tuple[int, httpx2.Client]]:
    """The process id of the parent of two API processes, and a client."""
    home, log = tmp_path / "home", tmp_path / "api.log"
    port = free_port(Settings(port=0))
    train(make_job(Store(home), "points", "points"), home)
    environment = {
        "RINGSIDE_HOME": str(home),
        "RINGSIDE_PORT": str(port),
        "RINGSIDE_REDIS_URL": "redis://127.0.0.1:1",
    }
    command = [sys.executable, "-m", "service.cli", "api", "--processes", "2"]
    parent = start(command, environment, log)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
        try:
            wait_until(lambda: answers(client), "an API process", 60)
            yield parent.pid, client
        finally:
            stop([parent], 20)
    assert parent.returncode == 0, log.read_text()


def answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_process_that_is_killed_is_replaced_and_measurements_add_up(
    several: tuple[int, httpx2.Client], wait_until: Callable[..., Any]
) -> None:
    parent, client = several
    first, second = wait_until(lambda: children(parent)[1:] and children(parent), "two processes")
    os.kill(first, signal.SIGKILL)
    # A new connection each time: the old one may have been to the process that is gone. The other
    # one may still be starting; until then requests wait.
    address = client.base_url.join("/sample")
    seen = [
        httpx2.get(
            address, params={"model": "points", "seed": seed}, timeout=PATIENCE_SECONDS
        ).status_code
        for seed in range(20)
    ]
    assert seen == [200] * 20
    replaced = wait_until(
        lambda: {second} < set(children(parent)) - {first} and children(parent), "a new process"
    )
    assert len(replaced) == 2
    found = re.search(
        COUNTED, httpx2.get(client.base_url.join("/metrics"), timeout=PATIENCE_SECONDS).text
    )
    assert found and float(found[1]) == 20
