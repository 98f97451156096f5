"""A checkpoint is whole or absent, and its bytes are those that were committed."""

import errno
import os
import subprocess
import sys

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
    job="job_x",
    epoch=1,
    step=5,
    images_seen=40,
    created_at="2026-01-01T00:00Z",
    environment=Environment(torch="2", device="cpu", threads=1, precision="float32"),
)
TENSORS = {"generator": {"weight": torch.arange(6.0).reshape(2, 3)}}

COMMIT_AND_MEASURE = """
import resource, pathlib, torch
from tests.ganmodels.builders import config_for
from tests.worker.test_checkpoints import MANIFEST
from worker.store.checkpoints import commit
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
tensors = {{name: {{"x": torch.ones({items})}} for name in ("a", "b", "c")}}
commit(pathlib.Path("{path}").with_name("step-6"), {{}}, config_for("dcgan"), MANIFEST)
before = peak()
commit(pathlib.Path("{path}"), tensors, config_for("dcgan"), MANIFEST)
print(peak() - before)
"""


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


UNLINKABLE = [errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP]


def refuse_links(monkeypatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)


def contents(path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("number", [None, *UNLINKABLE])
def test_a_checkpoint_is_kept_elsewhere_with_links_and_without(
    committed, tmp_path, monkeypatch, number
):
    if number:
        refuse_links(monkeypatch, number)
    committed.keep(tmp_path / "start", ["generator"])
    kept = Checkpoint(tmp_path / "start" / committed.path.name)
    assert kept.digest == committed.digest
    assert contents(kept.path) == contents(committed.path)
    assert torch.equal(kept.tensors("generator")["weight"], TENSORS["generator"]["weight"])


def test_copies_of_a_checkpoint_are_on_disk(committed, tmp_path, monkeypatch):
    refuse_links(monkeypatch, errno.EXDEV)
    synced, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (synced.append(os.fstat(file).st_ino), fsync(file))
    )
    committed.keep(tmp_path / "start", ["generator"])
    kept = tmp_path / "start" / committed.path.name
    assert {path.stat().st_ino for path in [kept, kept.parent, *kept.iterdir()]} <= set(synced)


def test_a_disk_that_is_full_is_no_reason_to_copy(committed, tmp_path, monkeypatch):
    refuse_links(monkeypatch, errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        committed.keep(tmp_path / "start", ["generator"])


@pytest.mark.parametrize(
    "name", ["generator.safetensors", "config.json", "manifest.json", "manifest.sha256"]
)
def test_a_damaged_file_is_not_copied(tmp_path, monkeypatch, name):
    damaged = commit(tmp_path / "step-5", TENSORS, config_for("dcgan"), MANIFEST)
    path = damaged.path / name
    path.write_bytes(path.read_bytes()[:-2] + b"??")
    refuse_links(monkeypatch, errno.EXDEV)
    with pytest.raises(CheckpointCorrupt):
        Checkpoint(damaged.path).keep(tmp_path / "start", ["generator"])


def test_a_checkpoint_that_is_gone_cannot_be_kept(tmp_path):
    gone = Checkpoint(tmp_path / "step-5")
    with pytest.raises(CheckpointCorrupt):
        gone.keep(tmp_path / "start", ["generator"])


def test_a_commit_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(AttributeError):
        commit(tmp_path / "step-5", {"generator": {"weight": None}}, config_for("dcgan"), MANIFEST)
    assert list(tmp_path.iterdir()) == []


def test_a_committed_step_is_never_overwritten(committed):
    with pytest.raises(FileExistsError):
        commit(committed.path, TENSORS, config_for("dcgan"), MANIFEST)
    Checkpoint(committed.path).verify()


def test_what_confirm_raises_keeps_a_checkpoint_from_appearing(tmp_path):
    seen = []

    def refuse() -> None:
        (temporary,) = tmp_path.iterdir()
        seen.extend(sorted(path.name for path in temporary.iterdir()))
        raise PermissionError("fenced off")

    with pytest.raises(PermissionError, match="fenced off"):
        commit(tmp_path / "step-5", TENSORS, config_for("dcgan"), MANIFEST, refuse)
    assert seen == ["config.json", "generator.safetensors", "manifest.json", "manifest.sha256"]
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_format_is_refused_by_its_number(tmp_path):
    checkpoint = commit(tmp_path / "step-5", TENSORS, config_for("dcgan"), MANIFEST)
    path = checkpoint.path / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 3', '"format_version": 1'))
    with pytest.raises(CheckpointCorrupt, match="format 1; this release reads 3"):
        Checkpoint(checkpoint.path).verify()


def test_settings_that_this_release_does_not_know_are_an_error_with_a_name(tmp_path):
    config = config_for("dcgan")
    unknown = config.model_copy(update={"seed": "a word"})
    with pytest.warns(UserWarning, match="serialized value"):
        checkpoint = commit(tmp_path / "step-5", TENSORS, unknown, MANIFEST)
    checkpoint.verify()
    with pytest.raises(CheckpointCorrupt, match="not one that this release understands"):
        checkpoint.config()


def test_the_seal_is_as_common_tools_read_it(committed):
    command = ["sha256sum", "--check", "--strict", "--status", "manifest.sha256"]
    assert subprocess.run(command, cwd=committed.path, check=False).returncode == 0


def test_a_commit_makes_no_second_copy_of_the_tensors(tmp_path):
    size_bytes = 40 << 20
    program = COMMIT_AND_MEASURE.format(path=str(tmp_path / "step-5"), items=size_bytes // 4)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(result.stdout) < size_bytes / 4


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_and_any_cut_is_found(committed, data):
    path = data.draw(st.sampled_from(sorted(committed.path.iterdir())))
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
