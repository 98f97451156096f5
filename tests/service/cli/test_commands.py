"""Every command that talks to the service, against the real one."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.cli.train import merged


@pytest.fixture
def pictures(tmp_path):
    random = np.random.default_rng(0)
    directory = tmp_path / "pictures"
    for label in ("left", "right"):
        (directory / label).mkdir(parents=True)
        for index in range(6):
            pixels = random.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(directory / label / f"{index}.png")
    (directory / ".hidden").write_text("no picture")
    return directory


def test_a_directory_of_pictures_becomes_a_dataset(invoke, pictures):
    added = invoke("datasets", "add", pictures, "--name", "sides", "--size", 8, "--json")
    assert added.exit_code == 0, added.output
    dataset = json.loads(added.stdout)
    assert (dataset["count"], dataset["classes"]) == (12, ["left", "right"])
    assert "sides\t12\t8x8x1\t2" in invoke("datasets", "list").stdout


def test_an_array_file_becomes_a_dataset(invoke, tmp_path):
    items = np.random.default_rng(1).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "items.npy", items)
    added = invoke("datasets", "add", tmp_path / "items.npy", "--name", "from-array")
    assert added.exit_code == 0, added.output
    assert added.stdout == "from-array: 20 items, 8x8x1\n"


def test_an_empty_directory_is_a_usage_error(invoke, tmp_path):
    assert invoke("datasets", "add", tmp_path).exit_code == 2


def test_a_dry_run_shows_the_plan_with_every_setting(invoke, ringside):
    before = ringside.client.get("/jobs").json()["data"]
    answer = invoke(
        "train", "ring", "--dry-run", "--steps", 30, "--batch-size", 16, "--learning-rate", 0.002,
        "--seed", 5, "--set", "game.objective.kind=hinge", "--set", "schedule.metrics_every=7",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    config = json.loads(answer.stdout)["config"]
    assert config["game"]["objective"]["kind"] == "hinge"
    assert config["schedule"]["steps"], config["schedule"]["metrics_every"] == (30, 7)
    assert (config["optimisation"]["batch_size"], config["seed"]) == (16, 5)
    assert ringside.client.get("/jobs").json()["data"] == before


def test_train_prints_the_id_of_the_job(invoke, ringside):
    answer = invoke("train", "ring", "--steps", 5)
    assert answer.exit_code == 0, answer.output
    assert ringside.wait(answer.stdout.strip())["status"] == "succeeded"


def test_follow_shows_progress_and_the_new_version(invoke):
    answer = invoke("train", "ring", "--steps", 20, "--model", "cli-ring", "--follow")
    assert answer.exit_code == 0, answer.output
    assert "step 20/20" in answer.stderr
    assert "cli-ring:1 is ready" in answer.stderr


def test_follow_as_json_prints_events_without_gaps(invoke, trained):
    answer = invoke("jobs", "follow", trained["id"], "--json")
    assert answer.exit_code == 0, answer.output
    printed = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [event["id"] for event in printed] == list(range(1, len(printed) + 1))
    assert printed[-1]["type"] == "job.done"


def test_jobs_are_listed_and_shown(invoke, trained):
    listed = invoke("jobs", "list", "--status", "succeeded")
    assert f"{trained['id']}\tsucceeded\tcgan\tcli-digits\t10/10" in listed.stdout
    shown = invoke("jobs", "show", trained["id"], "--json")
    assert json.loads(shown.stdout)["id"] == trained["id"]


def test_models_are_listed(invoke, trained):
    assert "cli-digits\t1\t" in invoke("models").stdout


@pytest.mark.parametrize(
    ("suffix", "magic"),
    [("png", b"\x89PNG"), ("webp", b"RIFF"), ("jpg", b"\xff\xd8"), ("zip", b"PK"),
     ("npy", b"\x93NUMPY"), ("json", b"{")],
)  # fmt: skip
def test_the_suffix_names_the_format(invoke, trained, tmp_path, suffix, magic):
    path = tmp_path / f"samples.{suffix}"
    answer = invoke("sample", "cli-digits", "-n", 4, "--seed", 1, "--label", 3, "-o", path)
    assert answer.exit_code == 0, answer.output
    assert path.read_bytes().startswith(magic)


def test_same_seed_same_bytes_on_standard_output(invoke, trained):
    drawn = [invoke("sample", "cli-digits", "-n", 4, "--seed", 7, "-o", "-") for _ in range(2)]
    assert drawn[0].stdout_bytes == drawn[1].stdout_bytes
    assert Image.open(io.BytesIO(drawn[0].stdout_bytes)).format == "PNG"


def test_sample_tells_the_seed_it_drew(invoke, trained, tmp_path):
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    facts = json.loads(invoke("sample", "cli-digits", "-o", first, "--json").stdout)
    assert facts["model"] == "cli-digits:1"
    invoke("sample", "cli-digits", "-o", second, "--seed", facts["seed"])
    assert first.read_bytes() == second.read_bytes()


def test_score_lists_every_file_and_names_the_bad_one(invoke, trained, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("L", (16, 16), 128).save(good)
    bad.write_bytes(b"no image")
    answer = invoke("score", "cli-digits", good, "--json")
    assert answer.exit_code == 0, answer.output
    assert isinstance(json.loads(answer.stdout)["data"][0]["logit"], float)
    answer = invoke("score", "cli-digits", good, bad)
    assert answer.exit_code == 1
    assert "good.png" in answer.stdout
    assert "bad.png: " in answer.stderr


def test_score_takes_a_zip(invoke, trained, tmp_path):
    Image.new("L", (16, 16), 128).save(tmp_path / "grey.png")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a.png", "b.png"):
            archive.write(tmp_path / "grey.png", name)
    answer = invoke("score", "cli-digits", tmp_path / "two.zip", "--json")
    assert json.loads(answer.stdout)["count"] == 2, answer.output


def test_settings_are_json_or_text_at_any_depth():
    settings = ["game.objective.kind=hinge", "game.penalties=[]", "schedule.keep_every=null"]
    assert merged({"seed": 1}, settings) == {
        "seed": 1,
        "game": {"objective": {"kind": "hinge"}, "penalties": []},
        "schedule": {"keep_every": None},
    }
