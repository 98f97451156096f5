"""What a training takes of this machine's memory, and which change of it takes less."""

import torch

from ganmodels.config import TrainConfig
from ganmodels.estimate import Estimate, estimate
from ganmodels.fitting import Fit, fitting
from worker.engine import DeviceUnavailable, autocast_dtype, choose_device, describe
from worker.group import count_processes
from worker.settings import Settings


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


def _dtype(config: TrainConfig, settings: Settings) -> torch.dtype | None:
    """The larger format where the device is not here, or a GPU: that is the training's to use."""
    try:
        chosen = choose_device(settings.device)
    except DeviceUnavailable:
        return None
    return autocast_dtype(describe(config, chosen, None)) if chosen.type == "cpu" else None
