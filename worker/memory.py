"""What a training takes of this machine's memory, and what to do when that is too much."""

import resource
from pathlib import Path

import torch

from ganmodels.config import TrainConfig
from ganmodels.estimate import Estimate, estimate
from ganmodels.fitting import Fit, fitting
from worker.engine import DeviceUnavailable, autocast_dtype, choose_device, describe
from worker.group import count_processes
from worker.settings import MIB, Settings
from worker.store.records import Shortage

# What PyTorch and its libraries hold themselves: VmRSS of a process that has played a small match.
_LIBRARIES_BYTES = 300 * MIB
# A training that did not fit by a little needs a change that is not lost in the estimate's error.
_CLEARLY_LESS = 0.8


def cost_here(config: TrainConfig, settings: Settings) -> Estimate:
    """The estimate for this machine: in the precision that would be chosen, of all processes."""
    count = processes_here(config, settings)
    each = estimate(_share(config, count), _dtype(config, settings))
    memory_bytes, step_flops = count * each.memory_bytes, count * each.step_flops
    return each._replace(memory_bytes=memory_bytes, step_flops=step_flops)


def fitting_here(config: TrainConfig, limit_bytes: int, settings: Settings) -> Fit | None:
    """The least change of a configuration by which it fits, as ``cost_here`` counts."""
    count = processes_here(config, settings)
    found = fitting(_share(config, count), limit_bytes // count, _dtype(config, settings))
    if found is None:
        return None
    batch_size, memory_bytes = count * found.batch_size, count * found.memory_bytes
    return found._replace(batch_size=batch_size, memory_bytes=memory_bytes)


def processes_here(config: TrainConfig, settings: Settings) -> int:
    """How many processes of a job share this machine's memory; on GPUs each has its own."""
    try:
        chosen = choose_device(settings.device)
    except DeviceUnavailable:
        return 1
    return count_processes(config, chosen, settings.slots) if chosen.type == "cpu" else 1


def _share(config: TrainConfig, count: int) -> TrainConfig:
    """What each of some processes plays."""
    whole, engine = config.optimisation, config.engine
    optimisation = whole.model_copy(update={"batch_size": whole.batch_size // count})
    alone = engine.model_copy(update={"gpus": 1})
    return config.model_copy(update={"optimisation": optimisation, "engine": alone})


def shortage(
    config: TrainConfig, settings: Settings, resident_bytes: int = 0
) -> tuple[Shortage, str]:
    """What a training lacked that has just run out of memory, and a sentence for its job.

    ``resident_bytes`` of datasets lay in memory beside it, in each process.
    """
    needed = cost_here(config, settings).memory_bytes
    resident_bytes *= processes_here(config, settings)
    available = max(0, _available_bytes(settings.device) - resident_bytes)
    fit = fitting_here(config, min(available, int(_CLEARLY_LESS * needed)), settings)
    advice = fit.advice if fit else "narrow the networks or give the machine more"
    detail = (
        f"this training needs about {needed // MIB} MiB of memory, and about {available // MIB} "
        f"MiB were free for it; {advice}"
    )
    found = {"batch_size": fit.batch_size, "accumulate": fit.accumulate} if fit else {}
    return Shortage(estimated_bytes=needed, available_bytes=available, **found), detail


def _dtype(config: TrainConfig, settings: Settings) -> torch.dtype | None:
    """The larger format where the device is not here, or a GPU: that is the training's to use."""
    try:
        chosen = choose_device(settings.device)
    except DeviceUnavailable:
        return None
    return autocast_dtype(describe(config, chosen, None)) if chosen.type == "cpu" else None


def _available_bytes(device: str) -> int:
    """Memory for a training in this process: what is free, and what it holds itself."""
    if choose_device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return int(free) + torch.cuda.memory_reserved()
    held = max(0, _entry("self/status", "VmRSS") - _LIBRARIES_BYTES)
    free = _entry("meminfo", "MemAvailable")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        free = min(free, limit - _entry("self/status", "VmSize"))
    return max(0, held + free)


def _entry(file: str, name: str) -> int:
    """An entry of a file of ``/proc`` that is written in kB; 0 where there is none."""
    path = Path("/proc") / file
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:")), 0)
