"""The demo's show: trains once, goes on with what was interrupted, draws a grid."""

import os
import signal
import sys
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from service.cli import demo
from worker.processes import start, stop


@pytest.fixture
def client(ringside):
    headers = {"Authorization": "Bearer key-for-tests"}
    with httpx2.Client(base_url=ringside.url, headers=headers, timeout=60) as client:
        yield client


def _jobs(client):
    listed = client.get("/jobs", params={"limit": 200}).json()["data"]
    return [job for job in listed if job["model"] == demo.MODEL]


def test_the_demo_goes_on_with_its_job_and_trains_no_second_time(
    ringside, client, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    unfinished = ringside.submit(dataset="digits", recipe="cgan", model=demo.MODEL, steps=10)
    demo.show(client, steps=20, again=False)
    assert [job["id"] for job in _jobs(client)] == [unfinished["id"]]
    with Image.open(tmp_path / demo.PICTURE) as picture:
        assert picture.width > picture.height
    said = capsys.readouterr().out
    assert f"{ringside.url}/docs" in said
    assert "RINGSIDE_API_KEY" in said

    demo.show(client, steps=20, again=False)
    assert len(_jobs(client)) == 1
    demo.show(client, steps=10, again=True)
    assert [job["status"] for job in _jobs(client)] == ["succeeded", "succeeded"]


@pytest.mark.slow
def test_a_part_that_dies_under_the_demo_is_started_again(
    new_home, tmp_path, processes_of, wait_until
):
    home, log = new_home(), tmp_path / "log"
    environment = {
        "RINGSIDE_HOME": str(home),
        "RINGSIDE_PORT": "0",
        "RINGSIDE_TRAIN_THREADS": "1",
        "PYTHONPATH": str(Path(demo.__file__).parents[2]),
    }
    # In a directory of its own, since it leaves a picture.
    command = ["env", "-C", str(tmp_path), sys.executable, "-m", "service.cli"]
    process = start([*command, "demo", "--steps", "60"], environment, log)
    try:
        wait_until(lambda: "queued: waiting" in log.read_text(), "the training", 60)
        for pid, line in processes_of(home).items():
            if line.endswith("service.cli api "):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "Ctrl-C stops everything" in log.read_text(), "the picture", 60)
        assert "the api stopped: " in log.read_text()
        assert (tmp_path / demo.PICTURE).exists()
        stop([process], 60)
        assert process.returncode == 0
        assert not processes_of(home)
    finally:
        stop([process], 0)
