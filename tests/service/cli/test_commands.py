"""Every command that talks to the service, against the real one."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.cli.inference import show_scores
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


def test_what_an_import_leaves_out_is_said(invoke, pictures):
    (pictures / "left" / "scan.tiff").write_bytes(b"TIFF")
    (pictures / "right" / "6.png").write_bytes((pictures / "right" / "5.png").read_bytes())
    added = invoke("datasets", "add", pictures)
    assert added.exit_code == 0, added.output
    assert "1 files are no images" in added.stderr
    assert "1 items are equal" in added.stderr


def test_a_file_whose_name_is_no_utf_8_is_named(invoke, pictures):
    (pictures / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    answer = invoke("datasets", "add", pictures)
    assert answer.exit_code == 2, answer.output
    assert "caf?.png" in answer.stderr


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


def test_a_mix_is_drawn_in_place_of_a_seed(invoke, trained, tmp_path):
    path = tmp_path / "mixed.png"
    answer = invoke("sample", "cli-digits", "--mix", "s7:0.3,s12:0.7", "-o", path)
    assert answer.exit_code == 0, answer.output
    assert Image.open(io.BytesIO(path.read_bytes())).format == "PNG"
    assert invoke("sample", "cli-digits", "--mix", "s7:1", "--seed", 7, "-o", path).exit_code == 1


@pytest.mark.parametrize(("suffix", "kind"), [("webp", "WEBP"), ("gif", "GIF"), ("png", "PNG")])
def test_frames_lead_through_seeds_and_mixes(invoke, trained, tmp_path, suffix, kind):
    path = tmp_path / f"walk.{suffix}"
    answer = invoke("interpolate", "cli-digits", "7", "s1:1,s2:1", 12, "--steps", 3, "-o", path)
    assert answer.exit_code == 0, answer.output
    drawn = Image.open(io.BytesIO(path.read_bytes()))
    assert drawn.format == kind
    assert getattr(drawn, "n_frames", 1) == (1 if kind == "PNG" else 7)


@pytest.mark.parametrize("suffix", ["zip", "npy", "npz", "json"])
def test_frames_come_in_every_format_of_the_api(invoke, trained, tmp_path, suffix):
    path = tmp_path / f"walk.{suffix}"
    answer = invoke("interpolate", "cli-digits", "7", "12", "--steps", 3, "-o", path)
    assert answer.exit_code == 0, answer.output
    assert path.stat().st_size > 100


@pytest.mark.parametrize("given", [("7",), ("7", "12", "-o", "walk.mp4"), ("7", "twelve")])
def test_interpolations_that_cannot_be_are_no_success(invoke, trained, given):
    assert invoke("interpolate", "cli-digits", *given).exit_code in (1, 2)


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


def test_score_shows_the_label_of_a_model_that_knows_labels(invoke, trained, tmp_path):
    Image.new("L", (16, 16), 128).save(tmp_path / "grey.png")
    answer = invoke("score", "cli-digits", tmp_path / "grey.png")
    heading, row = (line.split("\t") for line in answer.stdout.splitlines())
    assert heading[-1] == "label", answer.output
    assert row[-1] in "0123456789"
    assert "beside" not in answer.stderr


def test_score_shows_company_and_no_label_where_there_is_none(capsys):
    entry = {"name": "a.png", "logit": 1.5, "probability": 0.75, "label": None}
    entry |= {"percentile_real": 20.0, "percentile_fake": 90.0}
    show_scores({"data": [entry], "company": {"items": 63, "rule": "judged together"}})
    shown = capsys.readouterr()
    assert shown.out == "item\tlogit\tprobability\treal %\tfake %\na.png\t1.5\t0.75\t20\t90\n"
    assert shown.err == "beside 63 real items: judged together\n"


@pytest.fixture(scope="session")
def translator(ringside, trained, tmp_path_factory):
    """A small translator of inverted digits, and a file of them."""
    path = tmp_path_factory.mktemp("source") / "inverted.npy"
    drawn = ringside.client.get("/sample", params={"model": "cli-digits", "n": 32, "format": "npy"})
    np.save(path, 255 - np.load(io.BytesIO(drawn.content)))
    with path.open("rb") as file:
        data = {"name": "cli-inverted"}
        ringside.client.post("/datasets", files={"file": file}, data=data).raise_for_status()
    network = {"generator_width": 4, "blocks": 1, "discriminator_width": 4}
    return ringside, network, path


def test_a_translator_is_trained_from_a_source_and_translates(invoke, translator, tmp_path):
    ringside, network, path = translator
    answer = invoke(
        "train", "digits", "--source", "cli-inverted", "--recipe", "cyclegan",
        "--model", "cli-over", "--steps", 4, "--batch-size", 4,
        "--set", f"game.network={json.dumps(network)}",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert ringside.wait(answer.stdout.strip())["status"] == "succeeded"
    made = {}
    for direction in ("a2b", "b2a"):
        output = tmp_path / f"{direction}.npy"
        answer = invoke("translate", "cli-over", path, "--direction", direction, "-o", output)
        assert answer.exit_code == 0, answer.output
        assert answer.stdout == f"{output}: cli-over:1\n"
        made[direction] = np.load(output)
    assert made["a2b"].shape == (32, 16, 16, 1)
    assert not np.array_equal(made["a2b"], made["b2a"])
    drawn = invoke("translate", "cli-over", path, "--columns", 4, "-o", "-")
    assert Image.open(io.BytesIO(drawn.stdout_bytes)).size == (4 * 18 - 2, 8 * 18 - 2)
    facts = json.loads(invoke("translate", "cli-over", path, "-o", output, "--json").stdout)
    assert (facts["model"], facts["path"]) == ("cli-over:1", str(output))


def test_a_training_starts_from_another_one(invoke, trained):
    answer = invoke(
        "train", "digits", "--recipe", "cgan", "--start-from", "cli-digits", "--dry-run"
    )
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["config"]["start"]["checkpoint"]
    answer = invoke("train", "digits", "--start-from", "nobody", "--dry-run")
    assert answer.exit_code == 3, answer.output


def test_codes_are_sent_with_a_sample(invoke, trained, tmp_path):
    answer = invoke("sample", "cli-digits", "--codes", "3,*,0.5", "-o", tmp_path / "a.png")
    assert answer.exit_code == 1
    assert "codes" in answer.stderr


def test_settings_are_json_or_text_at_any_depth():
    settings = ["game.objective.kind=hinge", "game.penalties=[]", "schedule.keep_every=null"]
    assert merged({"seed": 1}, settings) == {
        "seed": 1,
        "game": {"objective": {"kind": "hinge"}, "penalties": []},
        "schedule": {"keep_every": None},
    }
