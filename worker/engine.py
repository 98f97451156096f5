"""What a training runs on: device, threads and precision, chosen once and recorded."""

import os

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.shelves import place
from ganmodels.games.match import Match
from ganmodels.games.recorded import why_not
from ganmodels.machine import bfloat16_pays, processor
from ganmodels.spaces import ImageSpace
from worker.store.checkpoints import Environment
from worker.store.epochs import EngineInUse


class DeviceUnavailable(Exception):  # noqa: N818 - named for what it says
    """The device that the settings name is not there."""


def choose_device(wanted: str, variable: str = "RINGSIDE_DEVICE") -> torch.device:
    """The device of a setting, which ``variable`` holds: ``auto`` takes a GPU if there is one.

    Raises:
        DeviceUnavailable: when the one named is not there.
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(
            f"{variable} is {wanted}; PyTorch finds {torch.cuda.device_count()} GPUs "
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


def changes(now: Environment, before: Environment, deterministic: bool = False) -> dict[str, str]:
    """What may change the bits of a training that goes on in another environment, and from what.

    Kernels of a GPU add in whatever order its threads come, so nothing is exact there unless the
    job asks for others.
    """
    old, new = before.model_dump(), now.model_dump()
    found = {name: f"{old[name]} -> {new[name]}" for name in new if old[name] != new[name]}
    if now.device == "cpu" or deterministic:
        return found
    return {**found, "kernels": "a GPU's are not deterministic"}


def in_use(config: TrainConfig, environment: Environment, match: Match, items: int) -> EngineInUse:
    """What an attempt runs on, with ``items`` bytes of data, for those who look at its job."""
    engine, device = config.engine, match.device
    reason = why_not(match) or ("switched off" if engine.graphs == "never" else None)
    return EngineInUse(
        device=environment.device,
        processes=environment.processes,
        threads=environment.threads,
        precision=environment.precision,
        layout="channels last" if isinstance(config.space, ImageSpace) else "contiguous",
        data=place(items, device, engine.data),
        graphs="recorded" if reason is None else f"none: {reason}",
        deterministic=engine.deterministic or device.type == "cpu",
    )


def be_deterministic(config: TrainConfig) -> None:
    """Ask for kernels that add in the same order in every run, where the job wants them."""
    if config.engine.deterministic:
        # Read by cuBLAS at its first call in this process.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


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
