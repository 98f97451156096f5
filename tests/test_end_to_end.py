"""From an upload to samples and scores, through the real Redis, worker and HTTP server."""

import io
import json
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

MNIST = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
TINY = {"network": {"generator_width": 8, "discriminator_width": 8}}
# Long enough that nobody reaches the end, quick enough to stop at.
ENDLESS = {
    "dataset": "digits",
    "recipe": "cgan",
    "steps": 10**6,
    "game": TINY,
    "optimisation": {"precision": "float32"},
    "schedule": {"metrics_every": 5, "checkpoints_every": 10**6},
}


def zip_of_classes(second: str = "light") -> bytes:
    random, buffer = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind, level in (("dark", 40), (second, 200)):
            for number in range(30):
                pixels = random.integers(level, level + 40, (20, 30, 3), dtype=np.uint8)
                image = io.BytesIO()
                Image.fromarray(pixels).save(image, "PNG")
                archive.writestr(f"{kind}/{number}.png", image.getvalue())
    return buffer.getvalue()


def npy(response) -> np.ndarray:
    return np.load(io.BytesIO(response.raise_for_status().content), allow_pickle=False)


def test_from_upload_to_samples_and_scores(ringside):
    client = ringside.client
    files = {"file": ("photos.zip", zip_of_classes())}
    uploaded = client.post("/datasets", files=files, data={"name": "shots", "size": "16x24"})
    assert uploaded.status_code == 201, uploaded.text
    dataset = uploaded.json()
    assert dataset["space"] == {
        "kind": "image",
        "height": 16,
        "width": 24,
        "channels": 3,
        "classes": ["dark", "light"],
    }
    again = client.post("/datasets", files=files, data={"name": "shots", "size": "16x24"})
    assert (again.status_code, again.json()["id"]) == (200, dataset["id"])

    job = ringside.train(dataset="shots", model="shots", steps=30, batch_size=16, game=TINY)
    assert (job["recipe"], job["recipe_chosen"]) == ("cgan", True)
    assert job["progress"]["fraction"] == 1

    params = {"model": "shots", "seed": 7, "format": "npy"}
    sixteen = npy(client.get("/sample", params={**params, "n": 16, "label": "light"}))
    assert (sixteen.shape, sixteen.dtype) == ((16, 16, 24, 3), np.uint8)
    third = npy(client.get("/sample", params={**params, "offset": 3, "label": "light"}))
    assert np.array_equal(third[0], sixteen[3])

    picture = client.get("/sample", params={"model": "shots", "n": 4, "seed": 7})
    drawn = Image.open(io.BytesIO(picture.content))
    assert drawn.size == (2 * 24 + 2, 2 * 16 + 2)
    assert json.loads(drawn.text["ringside"])["seed"] == 7

    scored = client.post("/score", params={"model": "shots"}, files={"images": picture.content})
    entry = scored.raise_for_status().json()["data"][0]
    assert 0 <= entry["probability"] <= 1
    assert 0 <= entry["percentile_real"] <= 100


def test_a_training_can_be_sampled_paused_resumed_and_canceled_while_it_runs(ringside):
    client = ringside.client
    job = ringside.submit(**{**ENDLESS, "schedule": {"metrics_every": 5, "checkpoints_every": 10}})
    ringside.wait(job["id"], "checkpoint.created")
    assert client.get("/sample", params={"model": job["id"], "seed": 1}).status_code == 200
    assert client.post(f"/jobs/{job['id']}/pause").status_code in (200, 202)
    paused = wait_for_status(ringside, job["id"], "paused")
    step = client.get(f"/jobs/{job['id']}/checkpoints").json()["data"][-1]["step"]
    assert step >= 10
    assert client.post(f"/jobs/{paused['id']}/resume").status_code == 202
    wait_for_status(ringside, job["id"], "running")
    assert client.post(f"/jobs/{job['id']}/cancel").status_code in (200, 202)
    canceled = wait_for_status(ringside, job["id"], "canceled")
    assert canceled["progress"]["step"] >= step
    rows = client.get(f"/jobs/{job['id']}/metrics", params={"max_points": 5000}).json()
    assert rows["columns"]["step"] == sorted(set(rows["columns"]["step"]))


def test_a_finished_training_goes_on_with_more_steps(ringside):
    job = ringside.train(dataset="digits", steps=12, game=TINY, batch_size=8)
    answer = ringside.client.post(f"/jobs/{job['id']}/resume", json={"steps": 20})
    assert answer.status_code == 202, answer.text
    finished = wait_for_status(ringside, job["id"], "succeeded")
    assert finished["progress"]["step"] == 20
    assert finished["attempt"] == 2


def test_points_are_sampled_as_numbers_and_as_a_plot(ringside):
    job = ringside.train(dataset="ring", steps=50)
    points = npy(
        ringside.client.get(
            "/sample", params={"model": job["id"], "n": 100, "seed": 0, "format": "npy"}
        )
    )
    assert (points.shape, points.dtype) == ((100, 2), np.float32)
    plot = ringside.client.get("/sample", params={"model": job["id"], "n": 100, "seed": 0})
    assert Image.open(io.BytesIO(plot.content)).size == (512, 512)


def test_a_few_labels_make_a_classifier(ringside):
    widths = {"generator_widths": [32], "discriminator_widths": [100, 50]}
    game = {"labelled_per_class": 10, "network": {"kind": "noisy_mlp", **widths}}
    job = ringside.train(dataset="digits", recipe="semi-supervised", steps=300, game=game)
    digits = load_digits()
    images = np.stack([Image.fromarray(image.astype(np.uint8) * 15) for image in digits.images])
    buffer = io.BytesIO()
    np.save(buffer, images[:200])
    scored = ringside.client.post(
        "/score",
        params={"model": job["id"]},
        content=buffer.getvalue(),
        headers={"Content-Type": "application/x-npy"},
    )
    named = [entry["label"] for entry in scored.raise_for_status().json()["data"]]
    assert np.mean([name == str(d) for name, d in zip(named, digits.target, strict=False)]) > 0.7


def test_a_killed_service_loses_no_accepted_job(launch):
    first = launch()
    running = first.submit(**{**ENDLESS, "schedule": {"metrics_every": 5, "checkpoints_every": 10}})
    waiting = first.submit(dataset="ring", steps=20)
    first.wait(running["id"], "checkpoint.created")
    first.stop(signal.SIGKILL)
    second = launch(first.home)
    # Which of the two the new worker takes first is left open.
    assert wait_for_status(second, running["id"], "running")["attempt"] == 2
    second.client.post(f"/jobs/{running['id']}/cancel")
    assert wait_for_status(second, running["id"], "canceled")["progress"]["step"] >= 10
    finished = wait_for_status(second, waiting["id"], "succeeded")
    assert (finished["progress"]["step"], finished["attempt"]) == (20, 1)
    assert second.stop() == 0


def test_a_training_goes_on_by_itself_when_its_process_is_killed(ringside, processes_of):
    job = ringside.submit(**{**ENDLESS, "schedule": {"metrics_every": 5, "checkpoints_every": 10}})
    ringside.wait(job["id"], "checkpoint.created")
    os.kill(training_process(processes_of(ringside.home)), signal.SIGKILL)
    lost = ringside.wait(job["id"], "attempt.lost")
    assert lost["status"] in ("queued", "running")
    ringside.wait_for_attempt(job["id"], 2)
    ringside.client.post(f"/jobs/{job['id']}/cancel")
    ringside.wait(job["id"])


def training_process(processes: dict[int, str]) -> int:
    """The forked one: its command is that of the worker process, and so is its parent's."""
    workers = {pid for pid, command in processes.items() if "worker.slot" in command}
    (forked,) = [pid for pid in workers if parent_of(pid) in workers]
    return forked


def parent_of(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1])


TRANSLATING = {
    "simgan": {
        "network": {"width": 8, "blocks": 1, "discriminator_width": 12},
        "generator_warm_up": 40,
        "discriminator_warm_up": 10,
    },
    "cyclegan": {"network": {"generator_width": 8, "blocks": 1, "discriminator_width": 8}},
}


@pytest.mark.parametrize("recipe", TRANSLATING)
def test_inverted_digits_are_imported_and_made_over(ringside, recipe):
    client = ringside.client
    digits = load_digits().images.repeat(2, 1).repeat(2, 2)
    buffer = io.BytesIO()
    np.save(buffer, (255 - 15 * digits).astype(np.uint8))
    uploaded = client.post(
        "/datasets", files={"file": ("inverted.npy", buffer.getvalue())}, data={"name": "inverted"}
    )
    assert uploaded.status_code in (200, 201), uploaded.text
    job = ringside.train(
        dataset="digits",
        source="inverted",
        recipe=recipe,
        model=recipe,
        steps=80,
        batch_size=8,
        game=TRANSLATING[recipe],
    )
    assert job["source"] == uploaded.json()["id"]
    sent = (255 - 15 * digits[:20]).astype(np.uint8)
    buffer = io.BytesIO()
    np.save(buffer, sent)
    answer = client.post(
        "/translate",
        params={"model": recipe, "format": "npy"},
        content=buffer.getvalue(),
        headers={"Content-Type": "application/x-npy"},
    )
    assert npy(answer).shape == (20, 16, 16, 1)
    assert client.get("/sample", params={"model": recipe}).json()["code"] == "model-translates"


@pytest.mark.skipif(not MNIST.exists(), reason="../shared/data/mnist is not there")
def test_mnist_is_imported_from_idx_and_trained(ringside):
    names = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    images, labels = ((name, (MNIST / name).read_bytes()) for name in names)
    uploaded = ringside.client.post(
        "/datasets", files={"file": images, "labels": labels}, data={"name": "mnist-test"}
    )
    assert uploaded.status_code == 201, uploaded.text
    assert uploaded.json()["count"] == 10_000
    job = ringside.train(dataset="mnist-test", recipe="dcgan", steps=10, game=TINY)
    params = {"model": job["id"], "n": 2, "seed": 0, "format": "npy"}
    assert npy(ringside.client.get("/sample", params=params)).shape == (2, 28, 28, 1)


def wait_for_status(ringside, job_id: str, status: str) -> dict:
    """The job in a state, waited for by its events."""
    headers = {"Accept": "application/x-ndjson"}
    while (job := ringside.job(job_id))["status"] != status:
        last = ringside.client.get(f"/jobs/{job_id}/events", headers={"Accept": "application/json"})
        after = last.json()["data"][-1]["id"]
        if ringside.job(job_id)["status"] == status:
            continue
        with ringside.client.stream(
            "GET", f"/jobs/{job_id}/events", params={"after": after}, headers=headers, timeout=60
        ) as events:
            next(events.iter_lines(), None)
    return job
