"""Damages the newest checkpoint of a job in every way and asks whether it is noticed."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.scenario import job_with_checkpoints
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt

OLDER, NEWER = 1, 2
BITS_PER_BYTE = 8


class Report(NamedTuple):
    """How often something was damaged, noticed, and answered with the checkpoint before."""

    trials: int
    detected: int
    fell_back: int


def flip_bits(home: Path, trials: int, seed: int) -> Report:
    """Flip one bit per trial, anywhere in the files of the newest checkpoint."""
    chance = random.Random(seed)

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        place, bit = chance.randrange(len(data)), chance.randrange(BITS_PER_BYTE)
        data[place] ^= 1 << bit
        path.write_bytes(data)

    return _damage(home, [flip] * trials, chance)


def cut_files(home: Path, trials: int, seed: int) -> Report:
    """Cut one file per trial anywhere before its end."""
    chance = random.Random(seed)

    def cut(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: chance.randrange(len(data))])

    return _damage(home, [cut] * trials, chance)


def _damage(home: Path, damages: list[Callable[[Path], None]], chance: random.Random) -> Report:
    job = job_with_checkpoints(home, OLDER, NEWER)
    newest = job.checkpoint(NEWER)
    assert newest is not None
    kept = shutil.copytree(newest.path, home / "kept")
    names = sorted(path.name for path in kept.iterdir())
    detected = fell_back = 0
    for damage in damages:
        damage(newest.path / chance.choice(names))
        detected += not is_sound(newest.path)
        used = job.newest_sound_checkpoint()
        fell_back += used is not None and used.step == OLDER
        # It was put aside; the next trial begins with a sound one again.
        shutil.copytree(kept, newest.path, dirs_exist_ok=True)
    return Report(len(damages), detected, fell_back)


def is_sound(path: Path) -> bool:
    """Whether a checkpoint says of itself that it is as it was committed."""
    try:
        Checkpoint(path).verify()
    except CheckpointCorrupt:
        return False
    return True
