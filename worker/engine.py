"""What a training runs on: device, threads and precision, chosen once and recorded."""

import torch

from ganmodels.config import TrainConfig
from ganmodels.machine import bfloat16_pays, processor
from worker.store.checkpoints import Environment


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
        processor=processor(),
    )


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
    if config.game.needs_float32 or not config.space.bounded:
        return "float32"
    return "bfloat16" if bfloat16_pays(device, config.game.network.kernel) else "float32"
