"""A disk that is full or fails: what a training does about it, and when it can go on."""

import os
from contextlib import suppress
from pathlib import Path

from ganmodels.diskerrors import FAILING, FULL
from ganmodels.estimate import state_bytes
from worker.store.checkpoints import CheckpointCorrupt
from worker.store.epochs import Loss
from worker.store.files import temporary_file
from worker.store.job import Job


def is_storage_trouble(error: OSError) -> bool:
    """Whether the disk is to blame, which passes, and not the training."""
    return error.errno in FULL | FAILING


def loss_of_storage(job: Job, error: OSError) -> Loss:
    """What is wrong, and how much room the job needs to go on."""
    needed = _needed_bytes(job)
    if error.errno in FULL:
        code = "storage-full"
        detail = f"the disk is full; the job goes on by itself when {needed} bytes are free"
    else:
        code = "storage-unavailable"
        detail = f"the disk cannot be written to ({error.strerror}); the job goes on when it can"
    return Loss(code=code, detail=detail, needed_bytes=needed)


def has_room(directory: Path, needed_bytes: int) -> bool:
    """Whether a directory can take this much and keep it, by trying: quotas and faults show too."""
    try:
        with temporary_file(directory) as file:
            os.posix_fallocate(file.fileno(), 0, max(1, needed_bytes))
            file.write(b"\0")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True


def _needed_bytes(job: Job) -> int:
    """Two checkpoints: retention deletes an old one only after the new one is written."""
    # Where the newest cannot be read its size is guessed too.
    with suppress(OSError, CheckpointCorrupt):
        if newest := job.checkpoint():
            return 2 * newest.size_bytes
    return 2 * state_bytes(job.config())
