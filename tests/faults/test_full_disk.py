"""A disk that is full, or read-only: 507 and 503, nothing half made, and reading goes on."""

import io
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.cli.exits import ExitStatus
from tests.faults.api import KEY, Api
from worker.processes import start, stop
from worker.redis import EmbeddedRedis

PAGE_BYTES = 4096
DISK_BYTES = 16 * 2**20
_MOUNT = f'mount -t tmpfs -o size={DISK_BYTES} none "$RINGSIDE_HOME" && exec "$@"'
RINGSIDE = [sys.executable, "-m", "service.cli"]
ON_A_SMALL_DISK = ["unshare", "-rm", "sh", "-c", _MOUNT, "sh"]


@contextmanager
def filled(home: Path, free_pages: int = 0) -> Iterator[None]:
    """All room of a disk taken but for some pages."""
    filler = home / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            free = os.statvfs(home).f_bavail * PAGE_BYTES
            file.write(bytes(free - free_pages * PAGE_BYTES))
        yield
    finally:
        filler.unlink()


class SmallDisk:
    """An API whose home is a file system of 16 MiB in a mount namespace of its own."""

    def __init__(self, directory: Path, trained_home: Path) -> None:
        home = directory / "home"
        home.mkdir()
        self.server = EmbeddedRedis(directory / "redis")
        self.redis = self.server.start()
        self.api = Api(home, self.server.url, directory / "api.log", ON_A_SMALL_DISK)
        # The home as the API sees it.
        self.home = Path(f"/proc/{self.api.pid}/root{home}")
        for part in ("jobs", "models"):
            shutil.copytree(trained_home / part, self.home / part)

    def close(self) -> None:
        self.api.close()
        self.redis.terminate()
        self.redis.wait()

    def filled(self, free_pages: int = 0) -> AbstractContextManager[None]:
        """All room taken but for some pages."""
        return filled(self.home, free_pages)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self._remount("ro")
        try:
            yield
        finally:
            self._remount("rw")

    def _remount(self, mode: str) -> None:
        inside = ["nsenter", f"--target={self.api.pid}", "--user", "--mount"]
        command = [*inside, "mount", "-o", f"remount,{mode}", str(self.api.home)]
        subprocess.run(command, check=True)

    @contextmanager
    def largest_file(self, size: int) -> Iterator[None]:
        """No file of the API may grow beyond this."""
        hard = resource.RLIM_INFINITY
        resource.prlimit(self.api.pid, resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.prlimit(self.api.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def listed(self, what: str) -> list[str]:
        return [entry["id"] for entry in self.api.client.get(f"/{what}").json()["data"]]

    def half_made(self) -> list[str]:
        """What lies in the home under a name that hides it."""
        return [str(path) for path in self.home.glob("*/.*") if path.name != ".lock"] + [
            str(path) for path in self.home.glob("uploads/*")
        ]


@pytest.fixture(scope="module")
def may_mount() -> None:
    """Skips where nobody may mount a file system of their own."""
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("this machine lets no one mount a file system of their own")


@pytest.fixture(scope="module")
def disk(may_mount: None, short_directory: Path, trained_home: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(short_directory, trained_home)
    yield made
    made.close()


def upload(disk: SmallDisk, size_bytes: int) -> httpx2.Response:
    """Import as many bytes of noise."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(size_bytes)
    np.save(buffer, rng.integers(0, 256, (size_bytes // 64, 8, 8), dtype=np.uint8))
    answer: httpx2.Response = disk.api.client.post(
        "/datasets", files={"file": ("noise.npy", buffer.getvalue())}
    )
    return answer


def assert_refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["status"]) == (code, status)
    assert ("retry-after" in answer.headers) == (status == 503)


def test_built_in_datasets_that_have_no_room_do_not_hide_those_that_exist(disk: SmallDisk) -> None:
    with disk.filled(free_pages=240):
        answer = disk.api.client.get("/datasets/ring")
        assert answer.status_code == 200, answer.text
    with disk.filled():
        listed = disk.api.client.get("/datasets").json()["data"]
        assert [entry["name"] for entry in listed] == ["ring"]
        assert_refused(disk.api.client.get("/datasets/digits"), 507, "storage-full")
    assert not disk.half_made()
    assert disk.api.client.get("/datasets/digits").status_code == 200


@pytest.mark.parametrize("free_pages", range(6))
def test_a_job_is_on_disk_whole_or_not_at_all(disk: SmallDisk, free_pages: int) -> None:
    disk.api.client.get("/datasets/ring").raise_for_status()
    before = set(disk.listed("jobs"))
    request = {
        "json": {"dataset": "ring", "steps": 3, "model": f"model-{free_pages}"},
        "headers": {"Idempotency-Key": f"pages {free_pages}"},
    }
    with disk.filled(free_pages):
        answer = disk.api.client.post("/train", **request)
        if answer.status_code != 202:
            assert_refused(answer, 507, "storage-full")
            assert set(disk.listed("jobs")) == before
    assert not disk.half_made()
    again = disk.api.client.post("/train", **request)
    assert set(disk.listed("jobs")) - before == {again.json()["id"]}


def test_some_room_is_room_enough_for_a_job(disk: SmallDisk) -> None:
    disk.api.client.get("/datasets/ring").raise_for_status()
    with disk.filled(free_pages=30):
        disk.api.submit()


def test_a_full_disk_takes_no_upload_and_keeps_nothing_of_it(disk: SmallDisk) -> None:
    before = disk.listed("datasets")
    for free_pages in (0, 40, 150):
        with disk.filled(free_pages):
            assert_refused(upload(disk, 2**19), 507, "storage-full")
            assert disk.listed("datasets") == before
            assert not disk.half_made()
    assert upload(disk, 2**17).status_code == 201


def test_a_full_disk_can_be_read(disk: SmallDisk) -> None:
    job = disk.api.submit()
    disk.api.client.post(f"/jobs/{job['id']}/cancel").raise_for_status()
    with disk.filled():
        assert_readable(disk, job["id"])


def test_a_read_only_disk_can_be_read(disk: SmallDisk) -> None:
    job = disk.api.submit()
    disk.api.client.post(f"/jobs/{job['id']}/cancel").raise_for_status()
    with disk.read_only():
        assert_readable(disk, job["id"])
        assert disk.api.client.get("/readyz").json()["checks"]["storage"] is False


def assert_readable(disk: SmallDisk, job_id: str) -> None:
    job = f"/jobs/{job_id}"
    paths = ["/jobs", "/datasets", "/models", "/recipes", "/metrics", "/datasets/ring/preview"]
    paths += ["/sample?model=points&n=2&seed=1", "/models/points"]
    for path in [*paths, job, f"{job}/config", f"{job}/metrics", f"{job}/checkpoints"]:
        assert disk.api.client.get(path).status_code == 200, path
    told = disk.api.client.get(f"{job}/events").text
    assert "event: job.done" in told


def test_a_read_only_disk_takes_nothing_and_says_to_try_again(disk: SmallDisk) -> None:
    with disk.read_only():
        answer = disk.api.client.post("/train", json={"dataset": "ring"})
        assert_refused(answer, 503, "storage-unavailable")
        assert_refused(upload(disk, 2**16), 503, "storage-unavailable")
    assert disk.api.submit()["status"] == "queued"


def test_a_disk_that_fills_while_an_upload_arrives_refuses_it(disk: SmallDisk) -> None:
    # Larger than what is kept in memory while a form is read, so the spool is the first to fail.
    with disk.largest_file(2**18):
        assert_refused(upload(disk, 2**21), 507, "storage-full")
    # Kept in memory, so the file of our own is the first to fail.
    with disk.largest_file(2**18):
        assert_refused(upload(disk, 2**19), 507, "storage-full")
    assert not disk.half_made()


def test_a_limit_on_files_is_a_full_disk_to_a_job(disk: SmallDisk) -> None:
    before = disk.listed("jobs")
    for largest in (0, 100, 1000):
        with disk.largest_file(largest):
            answer = disk.api.client.post("/train", json={"dataset": "ring", "model": "limited"})
            assert_refused(answer, 507, "storage-full")
            assert disk.listed("jobs") == before
    assert not disk.half_made()


class SmallService:
    """``ringside up`` with all of its home, Redis included, on a file system of 16 MiB."""

    def __init__(self, directory: Path) -> None:
        home, self._log = directory / "up", directory / "up.log"
        home.mkdir()
        variables = {"RINGSIDE_HOME": str(home), "RINGSIDE_PORT": "0", "RINGSIDE_API_KEYS": KEY}
        command = [*ON_A_SMALL_DISK, *RINGSIDE, "up"]
        self.process = start(command, variables, self._log)
        # The home as the service sees it.
        self.home = Path(f"/proc/{self.process.pid}/root{home}")
        self.redis = redis.Redis(
            unix_socket_path=str(self.home / "redis" / "redis.sock"), retry=Retry(NoBackoff(), 0)
        )
        self._redis_processes: set[int] = set()

    @property
    def said(self) -> str:
        """What it has written so far."""
        return self._log.read_text()

    @property
    def is_up(self) -> bool:
        """Whether it has said so."""
        assert self.process.poll() is None, self.said
        return "Ringside is up" in self.said

    @property
    def url(self) -> str:
        """Where it is."""
        return self.said.partition("Ringside is up: ")[2].split()[0]

    def client(self) -> httpx2.Client:
        """A client with its key."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def count_redis_deaths(self) -> int:
        """Let Redis write, for which it needs room, and count how often it died of that."""
        assert self.process.poll() is None, self.said
        with suppress(redis.RedisError):
            self._redis_processes.add(self.redis.info("server")["process_id"])
            self.redis.set("large", bytes(2 * PAGE_BYTES))
        return len(self._redis_processes) - 1


@pytest.fixture(scope="module")
def service(
    may_mount: None, short_directory: Path, wait_until: Callable[..., Any]
) -> Iterator[SmallService]:
    made = SmallService(short_directory)
    wait_until(lambda: made.is_up, "ringside up", 60)
    yield made
    made.redis.close()
    stop([made.process], 30)


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_ends_nothing(
    service: SmallService, wait_until: Callable[..., Any]
) -> None:
    with service.client() as client:
        client.get("/datasets/ring").raise_for_status()
        with filled(service.home):
            wait_until(lambda: service.count_redis_deaths() >= 6, "six deaths of Redis")
            for path in ("/healthz", "/jobs", "/datasets/ring"):
                assert client.get(path).status_code == 200, path
            assert_refused(client.post("/train", json={"dataset": "ring"}), 507, "storage-full")
        job = client.post("/train", json={"dataset": "ring", "steps": 5}).raise_for_status().json()
        wait_until(
            lambda: client.get(f"/jobs/{job['id']}").json()["status"] == "succeeded", "the training"
        )
    # Once, however often it died.
    assert service.said.count("the redis stopped: the disk is full") == 1


@pytest.mark.slow
def test_who_follows_a_job_is_told_that_it_waits_for_room_and_follows_it_on(
    service: SmallService, tmp_path: Path, wait_until: Callable[..., Any]
) -> None:
    request = {"dataset": "ring", "steps": 10**7, "schedule": {"metrics_every": 10}}
    log, environment = tmp_path / "log", {"RINGSIDE_URL": service.url, "RINGSIDE_API_KEY": KEY}
    with service.client() as client:
        job_id = client.post("/train", json=request).raise_for_status().json()["id"]
        follower = start([*RINGSIDE, "jobs", "follow", job_id], environment, log)
        wait_until(lambda: "step " in log.read_text(), "the first metrics")
        with filled(service.home):
            wait_until(lambda: "paused: the disk is full" in log.read_text(), "the full disk")
        wait_until(lambda: log.read_text().count("\ntraining") == 2, "the job going on")
        client.post(f"/jobs/{job_id}/cancel").raise_for_status()
    assert follower.wait(30) == ExitStatus.JOB_CANCELED, log.read_text()
