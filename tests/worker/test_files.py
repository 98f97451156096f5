"""Directories appear whole or not at all, and what a dead process left behind is swept up."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.identity import ProcessIdentity
from worker.store import disk
from worker.store.files import (
    ensure_directory,
    maker_of,
    new_directory,
    read_regular,
    remove_directory,
    replace_file,
    temporary_file,
    temporary_name,
    write_durably,
)
from worker.store.sweep import sweep

HOUR_SECONDS = 3600


def fill(path):
    with new_directory(path) as directory:
        write_durably(directory / "file", b"whole")


@pytest.fixture(scope="module")
def dead() -> ProcessIdentity:
    program = "from worker.identity import ProcessIdentity; print(ProcessIdentity.own())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return ProcessIdentity.parse(result.stdout.decode().strip())


@pytest.fixture
def left_by(monkeypatch):
    def make(maker, name="file"):
        with monkeypatch.context() as patched:
            patched.setattr(ProcessIdentity, "own", lambda: maker)
            return temporary_name(name)

    return make


def test_a_directory_appears_only_when_its_block_has_ended_well(tmp_path):
    target = tmp_path / "a" / "b"
    with pytest.raises(KeyError), new_directory(target) as directory:
        assert not target.exists()
        write_durably(directory / "file", b"half")
        raise KeyError
    assert list(target.parent.iterdir()) == []
    fill(target)
    assert (target / "file").read_bytes() == b"whole"


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_name_that_is_taken_stays_with_its_owner(tmp_path, kind):
    if kind == "directory":
        fill(tmp_path / "a")
    else:
        (tmp_path / "a").write_bytes(b"whole")
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(FileExistsError):
        fill(tmp_path / "a")
    assert sorted(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_after_a_failed_sync_the_old_file_stays_and_the_next_try_has_a_new_name(
    tmp_path, monkeypatch
):
    path, synced = tmp_path / "file", []
    replace_file(path, b"old")

    def fail(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        raise OSError(errno.EIO, "no disk")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="no disk"):
                replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert len(set(synced)) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_vanished_meanwhile_counts_as_removed(tmp_path):
    fill(tmp_path / "a")
    remove_directory(tmp_path / "a")
    remove_directory(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_another_process_makes_meanwhile_is_no_error(tmp_path, monkeypatch):
    make = disk.make_directory
    monkeypatch.setattr(disk, "make_directory", lambda path: (make(path), make(path)))
    ensure_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"123456")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "file", 4) == b"1234"
    for name in ("link", "directory", "pipe", "absent"):
        with pytest.raises(OSError):
            read_regular(tmp_path / name, 4)


def test_a_temporary_file_is_there_for_the_block_alone(tmp_path):
    with pytest.raises(KeyError), temporary_file(tmp_path) as file:
        file.write(b"123")
        file.seek(0)
        assert file.read() == b"123"
        (path,) = (tmp_path).iterdir()
        assert (file.name, maker_of(path.name)) == (str(path), ProcessIdentity.own())
        raise KeyError
    assert list((tmp_path).iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a", ".a", ".a.tmp_1~b", "a.tmp_" + "0" * 26 + "~a-1-1", ".a.tmp_" + "0" * 26 + "~x"]
)
def test_a_name_that_is_not_ours_has_no_maker(name):
    assert maker_of(name) is None


PLACES = [
    "",
    "uploads",
    "datasets",
    "datasets/names",
    "models",
    "idempotency",
    "jobs",
    "jobs/job_a",
    "jobs/job_a/epochs",
    "jobs/job_a/epochs/0001",
    "jobs/job_a/epochs/0001/previews",
    "jobs/job_a/epochs/0001/checkpoints",
]


@pytest.mark.parametrize("place", PLACES)
def test_what_a_dead_process_left_is_swept_and_the_rest_stays(tmp_path, place, dead, left_by):
    directory = tmp_path / place
    directory.mkdir(parents=True, exist_ok=True)
    (directory / left_by(dead)).touch()
    (directory / left_by(dead, "other") / "inner").mkdir(parents=True)
    kept = {"file", ".hidden", ".other.lock", left_by(ProcessIdentity.own())}
    for name in kept:
        (directory / name).touch()
    assert sweep(tmp_path) == 2
    assert {path.name for path in directory.iterdir() if path.is_file()} == kept
    assert sweep(tmp_path) == 0


def test_what_another_machine_left_is_swept_after_an_hour(tmp_path, left_by):
    maker = ProcessIdentity("elsewhere", 1, 1)
    young, old = (tmp_path / left_by(maker) for _ in range(2))
    young.touch()
    old.touch()
    long_ago = time.time() - HOUR_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    assert sweep(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [young]


def test_nothing_behind_a_link_is_swept(tmp_path, dead, left_by):
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    (outside / "job_a").mkdir(parents=True)
    kept = [outside / left_by(dead), outside / "job_a" / left_by(dead)]
    for path in kept:
        path.touch()
    (home / "jobs").symlink_to(outside)
    (home / left_by(dead)).symlink_to(outside)
    assert sweep(home) == 1
    assert all(path.exists() for path in kept)
    assert [path.name for path in home.iterdir()] == ["jobs"]


def test_a_home_that_is_not_there_needs_no_sweeping(tmp_path):
    assert sweep(tmp_path / "absent") == 0


def test_what_vanishes_while_it_is_swept_keeps_nothing_else_from_being_swept(
    tmp_path, dead, left_by, monkeypatch
):
    gone, left = tmp_path / "jobs" / "job_a", tmp_path / "jobs" / "job_b" / left_by(dead)
    gone.mkdir(parents=True)
    left.mkdir(parents=True)
    look = Path.iterdir

    def vanish(directory):
        if directory == gone:
            raise FileNotFoundError(directory)
        return look(directory)

    monkeypatch.setattr(Path, "iterdir", vanish)
    assert sweep(tmp_path) == 1
    assert not left.exists()


def test_at_most_the_directory_around_a_new_one_is_made(tmp_path):
    with pytest.raises(FileNotFoundError):
        fill(tmp_path / "deleted" / "a" / "b")
    assert list(tmp_path.iterdir()) == []
