"""A checkpoint is whole or absent, and its bytes are those that were committed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ganmodels.builders import config_for
from worker.store.checkpoints import (
    Checkpoint,
    CheckpointCorrupt,
    Environment,
    Manifest,
    commit,
)

MANIFEST = Manifest(
    format_version=1,
    job="job_x",
    epoch=1,
    step=5,
    images_seen=40,
    created_at="2026-01-01T00:00Z",
    environment=Environment(torch="2", device="cpu", threads=1, precision="float32"),
    files=(),
)
TENSORS = {"generator": {"weight": torch.arange(6.0).reshape(2, 3)}}


@pytest.fixture(scope="module")
def committed(tmp_path_factory) -> Checkpoint:
    path = tmp_path_factory.mktemp("job") / "checkpoints" / "step-5"
    return commit(path, TENSORS, config_for("dcgan"), MANIFEST)


def test_what_was_committed_comes_back(committed):
    read = Checkpoint(committed.path)
    read.verify()
    assert torch.equal(read.tensors("generator")["weight"], TENSORS["generator"]["weight"])
    assert read.config() == config_for("dcgan")
    assert read.manifest.step == 5
    assert read.digest == committed.digest


def test_a_commit_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError):
        commit(tmp_path / "step-5", {"generator": {"weight": None}}, config_for("dcgan"), MANIFEST)
    assert list(tmp_path.iterdir()) == []


def test_a_committed_step_is_never_overwritten(committed):
    with pytest.raises(FileExistsError):
        commit(committed.path, TENSORS, config_for("dcgan"), MANIFEST)
    Checkpoint(committed.path).verify()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_and_any_cut_is_found(committed, data):
    name = data.draw(st.sampled_from([entry.name for entry in committed.manifest.files]))
    path = committed.path / name
    original = path.read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    flipped = original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :]
    damaged = data.draw(st.sampled_from([flipped, original[:place]]))
    try:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointCorrupt):
            Checkpoint(committed.path).verify()
    finally:
        path.write_bytes(original)


def test_a_missing_file_and_a_torn_manifest_are_found(tmp_path):
    checkpoint = commit(tmp_path / "step-5", TENSORS, config_for("dcgan"), MANIFEST)
    (checkpoint.path / "generator.safetensors").unlink()
    with pytest.raises(CheckpointCorrupt, match="generator"):
        Checkpoint(checkpoint.path).verify()
    (checkpoint.path / "manifest.json").write_text('{"format_version"')
    with pytest.raises(CheckpointCorrupt, match="manifest"):
        Checkpoint(checkpoint.path).verify()


def test_no_code_reads_pickles():
    """Forbidden calls, looked for in the source, because one would be enough."""
    from pathlib import Path

    root = Path(__file__).parents[2]
    forbidden = ("import pickle", "torch.load(", "allow_pickle=True", "extractall(", "yaml.load(")
    found = [
        f"{path.relative_to(root)}: {call}"
        for package in ("ganmodels", "worker", "service")
        for path in (root / package).rglob("*.py")
        for call in forbidden
        if call in path.read_text()
    ]
    assert found == []
