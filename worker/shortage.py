"""A training that ran out of memory: what it lacked, and what would fit."""

import resource
import traceback
from contextlib import suppress
from pathlib import Path

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.errors import DataError
from ganmodels.machine import is_out_of_memory
from worker.engine import choose_device
from worker.errors import NotFound
from worker.memory import cost_here, fitting_here, processes_here
from worker.settings import MIB, Settings
from worker.store import Store
from worker.store.job import Job
from worker.store.records import Shortage

_TOO_LARGE = "the training did not fit into memory; lower batch_size or the networks' widths"
# A training that did not fit by a little needs a change that is not lost in the estimate's error.
_CLEARLY_LESS = 0.8


class OutOfMemory(Exception):  # noqa: N818 - named for what it says
    """Memory ran out; the message is a sentence for the job.

    ``lacked`` is None where there was none left to find it out with.
    """

    def __init__(self, detail: str, lacked: Shortage | None) -> None:
        super().__init__(detail)
        self.lacked = lacked


def resident_bytes() -> int:
    """Memory that this process occupies alone; pages of files count as available."""
    return _entry("self/status", "RssAnon") + _entry("self/status", "RssShmem")


def explained(error: Exception, job: Job, settings: Settings, before_bytes: int) -> Exception:
    """The error with which a training ended; ``OutOfMemory`` where it was that.

    ``before_bytes`` were resident when it began.
    """
    if not is_out_of_memory(error):
        return error
    # What failed still holds its tensors, and the estimate needs some room of its own.
    traceback.clear_frames(error.__traceback__)
    with suppress(MemoryError, RuntimeError, OSError):
        available = _available_bytes(job.config(), settings, before_bytes)
        return shortage(job.config(), settings, max(0, available - _data_bytes(job, settings)))
    return OutOfMemory(_TOO_LARGE, None)


def shortage(config: TrainConfig, settings: Settings, available_bytes: int) -> OutOfMemory:
    """What a training lacked that was given so much and has run out of it."""
    needed = cost_here(config, settings).memory_bytes
    fit = fitting_here(config, min(available_bytes, int(_CLEARLY_LESS * needed)), settings)
    advice = fit.advice if fit else "narrow the networks or give the machine more"
    detail = (
        f"this training needs about {needed // MIB} MiB of memory, and about "
        f"{available_bytes // MIB} MiB were free for it; {advice}"
    )
    found = {"batch_size": fit.batch_size, "accumulate": fit.accumulate} if fit else {}
    lacked = Shortage(estimated_bytes=needed, available_bytes=available_bytes, **found)
    return OutOfMemory(detail, lacked)


def _data_bytes(job: Job, settings: Settings) -> int:
    """Size of the datasets that the training held in memory, in each of its processes.

    What is streamed to a GPU is held beside it.
    """
    config, engine, datasets = job.config(), job.engine(), Store(settings.home).datasets
    if choose_device(settings.device).type == "cuda" and engine and engine.data == "streamed":
        return 0
    with suppress(NotFound, DataError):
        each = sum(datasets.get(name).items.nbytes for name in config.datasets)
        return processes_here(config, settings) * each
    return 0


def _available_bytes(config: TrainConfig, settings: Settings, before_bytes: int) -> int:
    """Memory for a training: what is free, and what this process holds for it."""
    if choose_device(settings.device).type == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return int(free) + torch.cuda.memory_reserved()
    held = max(0, resident_bytes() - before_bytes)
    free = _entry("meminfo", "MemAvailable")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        # Each of several processes has that limit.
        own = limit - _entry("self/status", "VmSize")
        free = min(free, processes_here(config, settings) * own)
    return max(0, held + free)


def _entry(file: str, name: str) -> int:
    """An entry of a file of ``/proc`` that is written in kB; 0 where there is none."""
    path = Path("/proc") / file
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), 0)
