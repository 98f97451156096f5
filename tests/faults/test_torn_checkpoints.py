"""A damaged checkpoint is noticed, whatever was damaged, and the one before it is used."""

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.faults.scenario import commit_at, job_with_checkpoints
from tests.faults.torn import NEWER, OLDER, cut_files, flip_bits, is_sound
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt

SEED = int(os.environ.get("FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
FILES = [
    "config.json",
    "generator.safetensors",
    "manifest.json",
    "manifest.sha256",
    "training.safetensors",
]


@pytest.fixture
def checkpoints(tmp_path) -> tuple[Path, Path]:
    job = job_with_checkpoints(tmp_path, OLDER, NEWER)
    return job.checkpoint(OLDER).path, job.checkpoint(NEWER).path


def test_each_of_a_thousand_flipped_bits_is_noticed(tmp_path):
    assert flip_bits(tmp_path, 1000, SEED) == (1000, 1000, 1000), f"FAULT_SEED={SEED}"


def test_each_cut_file_is_noticed(tmp_path):
    assert cut_files(tmp_path, 200, SEED) == (200, 200, 200), f"FAULT_SEED={SEED}"


def test_these_are_all_files_of_a_checkpoint(checkpoints):
    assert sorted(path.name for path in checkpoints[1].iterdir()) == FILES


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("replacement", ["nothing", "directory", "link", "pipe", "longer", "empty"])
def test_a_file_that_was_replaced_is_noticed(checkpoints, name, replacement):
    path = checkpoints[1] / name
    data = path.read_bytes()
    path.unlink()
    if replacement == "directory":
        path.mkdir()
    elif replacement == "link":
        path.with_name("target").write_bytes(data)
        path.symlink_to("target")
    elif replacement == "pipe":
        os.mkfifo(path)
    elif replacement != "nothing":
        path.write_bytes(data + b" " if replacement == "longer" else b"")
    assert not is_sound(checkpoints[1])


@pytest.mark.parametrize("name", [name for name in FILES if name != "config.json"])
def test_files_swapped_between_two_checkpoints_are_noticed_in_both(checkpoints, name):
    older, newer = (path / name for path in checkpoints)
    older.rename(older.with_name("aside"))
    newer.rename(older)
    older.with_name("aside").rename(newer)
    assert [is_sound(path) for path in checkpoints] == [False, False]


def test_whole_checkpoints_that_were_swapped_are_noticed(checkpoints):
    older, newer = checkpoints
    older.rename(older.with_name("aside"))
    newer.rename(older)
    older.with_name("aside").rename(newer)
    assert [is_sound(path) for path in checkpoints] == [False, False]


def test_a_checkpoint_that_is_a_link_is_not_followed(checkpoints):
    older, newer = checkpoints
    shutil.rmtree(older)
    older.symlink_to(newer)
    assert not is_sound(older)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256", "generator.safetensors"])
def test_what_is_served_is_verified_with_its_manifest(checkpoints, name):
    path = checkpoints[1] / name
    path.write_bytes(path.read_bytes()[:-2] + b"0\n")
    with pytest.raises(CheckpointCorrupt):
        Checkpoint(checkpoints[1]).tensors("generator")


def test_a_checkpoint_without_damage_is_sound(tmp_path):
    commit_at(tmp_path / "step-1", 1)
    assert is_sound(tmp_path / "step-1")
