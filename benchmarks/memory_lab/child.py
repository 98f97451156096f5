"""One training in a process of its own; prints what it took at its peak, as JSON.

The process first plays a step of the same recipe with the smallest batch, so that what libraries
load and compile once is not counted. Then ``malloc_trim`` gives freed memory back, writing 5 to
``/proc/self/clear_refs`` sets the high-water mark of resident memory (VmHWM) to what is resident
now, a match and its deck are made as ``worker/training.py`` makes them, and three steps are played,
the last two beside the copy of the state that a checkpoint is written from.
"""

import ctypes
import gc
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.memory_lab.setting import ITEMS, config_of
from ganmodels.config import TrainConfig
from ganmodels.data.packed import Manifest, PackedDataset
from ganmodels.dealing import deal
from ganmodels.games.match import Match
from ganmodels.spaces import ImageSpace, Space
from ganmodels.storages import Storages
from worker.checkpointing import Snapshot
from worker.engine import autocast_dtype, describe
from worker.settings import Settings

CPU = torch.device("cpu")


class Counted(TorchDispatchMode):
    """Counts the bytes of the tensors that live at once."""

    def __init__(self) -> None:
        super().__init__()
        self.storages = Storages()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The operator's result, noted."""
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, list | tuple) else [result]:
            if isinstance(one, torch.Tensor):
                self.storages.note(one.untyped_storage())
        return result


def main() -> None:
    """Read a recipe, a batch size, its parts and a precision; print what was measured."""
    recipe, size, parts, precision = sys.argv[1:]
    torch.set_num_threads(Settings().train_threads)
    config = config_of(recipe, int(size), int(parts), precision)
    dataset = dataset_of(config.space)
    smallest = config_of(recipe, 4, 1, precision)
    play(smallest, dataset)
    start = begin()
    play(config, dataset)
    resident = status_bytes("VmHWM") - start
    with Counted() as counted:
        play(config, dataset)
    precision = describe(config, CPU, None).precision
    print(
        json.dumps(
            {"resident": resident, "tensors": counted.storages.peak_bytes, "precision": precision}
        )
    )


def play(config: TrainConfig, dataset: PackedDataset) -> None:
    """Three steps: the first, in which all penalties are due, and the last two."""
    match = Match(config, CPU, autocast_dtype(describe(config, CPU, None)))
    clusters = config.game.labels.fit(dataset.items[:1_000], config.seed)
    source = dataset if config.game.needs_source else None
    deck = deal(config, dataset, source, clusters, CPU)
    match.play(deck)
    snapshot = Snapshot.of(match)
    match.step = match.total_steps - 2
    match.play(deck)
    match.play(deck)
    match.read_metrics()
    del snapshot


def begin() -> int:
    """Let the high-water mark begin here. Returns the resident bytes."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status_bytes("VmRSS")


def status_bytes(name: str) -> int:
    """An entry of ``/proc/self/status`` that is written in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def dataset_of(space: Space) -> PackedDataset:
    """Noise in place of data: memory does not depend on it."""
    random = np.random.default_rng(0)
    if isinstance(space, ImageSpace):
        shape = (ITEMS, space.height, space.width, space.channels)
        items: Any = random.integers(0, 256, shape, dtype=np.uint8)
    else:
        items = random.standard_normal((ITEMS, space.dimensions), dtype=np.float32)
    labels = np.arange(ITEMS) % len(space.classes) if space.classes else None
    manifest = Manifest.model_construct(space=space, count=ITEMS)
    return PackedDataset(Path(), manifest, items, labels, np.arange(0))


if __name__ == "__main__":
    main()
