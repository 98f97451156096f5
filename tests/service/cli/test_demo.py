"""The demo's show: trains once, goes on with what was interrupted, draws a grid."""

import httpx2
import pytest
from PIL import Image

from service.cli import demo


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
