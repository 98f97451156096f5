"""What a training runs on: device, threads and precision, chosen once and recorded."""

import platform
import time
from pathlib import Path

import torch

from ganmodels.config import TrainConfig
from worker.store.checkpoints import Environment

_SPEEDUP_THAT_PAYS = 1.1
_CPU_INFO = Path("/proc/cpuinfo")


class DeviceUnavailable(Exception):  # noqa: N818 - named for what it says
    """The device that the settings name is not there."""


def choose_device(wanted: str) -> torch.device:
    """The device of a setting: ``auto`` takes the first GPU if there is one.

    Raises:
        DeviceUnavailable: when the one named is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(
            f"RINGSIDE_DEVICE is {wanted}; PyTorch finds {torch.cuda.device_count()} GPUs "
            "here; set it to auto or install PyTorch for your GPU"
        )
    return device


def describe(
    config: TrainConfig, device: torch.device, recorded: Environment | None
) -> Environment:
    """The environment of this attempt; a resumed training keeps its precision."""
    precision = recorded.precision if recorded else _choose_precision(config, device)
    return Environment(
        torch=torch.__version__,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        precision=precision,
        processor=_processor(),
    )


def _processor() -> str:
    """The model of the CPU and what PyTorch makes of it: libraries choose their kernels by them."""
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.machine())} ({torch.backends.cpu.get_cpu_capability()})"


def changes(now: Environment, before: Environment) -> dict[str, str]:
    """What may change the bits of a training that goes on in another environment, and from what.

    Kernels of a GPU add in whatever order its threads come, so there nothing is ever exact.
    """
    old, new = before.model_dump(), now.model_dump()
    found = {name: f"{old[name]} -> {new[name]}" for name in new if old[name] != new[name]}
    return found if now.device == "cpu" else {**found, "kernels": "a GPU's are not deterministic"}


def autocast_dtype(environment: Environment) -> torch.dtype | None:
    """The number format of forward passes; None for float32."""
    return torch.bfloat16 if environment.precision == "bfloat16" else None


def _choose_precision(config: TrainConfig, device: torch.device) -> str:
    wanted = config.optimisation.precision
    if wanted != "automatic":
        return wanted
    if config.game.needs_float32 or not config.game.network.gains_from_bfloat16:
        return "float32"
    return "bfloat16" if _bfloat16_pays(device) else "float32"


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether a typical convolution is clearly faster in bfloat16; a flag would not tell."""
    seconds = {dtype: _time_convolution(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return seconds[torch.float32] > _SPEEDUP_THAT_PAYS * seconds[torch.bfloat16]


def _time_convolution(device: torch.device, dtype: torch.dtype) -> float:
    layout = torch.channels_last
    items = torch.ones(32, 64, 14, 14, device=device, dtype=dtype).to(memory_format=layout)
    weight = torch.ones(64, 64, 3, 3, device=device, dtype=dtype).to(memory_format=layout)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        # Reading one value waits for the device.
        float(torch.conv2d(items, weight, padding=1)[0, 0, 0, 0])
        best = min(best, time.perf_counter() - start)
    return best
