"""``ringside worker``: keeps one worker process per slot alive, and every job moving."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from worker.garbage import lasting
from worker.processes import Kept, start
from worker.settings import Settings
from worker.slot import EVALUATIONS

if TYPE_CHECKING:
    from worker.reconciler import Reconciler

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_TICK_SECONDS, _SCAN_SECONDS = 0.5, 2.0
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")

log = logging.getLogger("ringside.supervisor")


def supervise(settings: Settings, url: str) -> None:
    """Run workers until a signal; the first lets trainings save, the second ends all at once."""
    # Put by signal handlers: the only queue that may be.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda number, frame: signals.put(number))
    plans = enumerate(plan_slots(settings))
    slots = [Slot(f"slot {index}", plan, url) for index, plan in plans]
    log.info("%d slots", len(slots))
    # Imports PyTorch, as the slots do at the same time.
    with lasting():
        from worker.reconciler import Reconciler

    reconciler = Reconciler(settings, url)
    keep(slots, reconciler, signals, lambda: Slot("evaluations", ONE_THREAD, url, EVALUATIONS))
    _stop(slots, signals)


def plan_slots(settings: Settings) -> list[dict[str, str]]:
    """The variables of each slot: one for so many GPUs, or as many as wanted on the CPU.

    Where GPUs do not divide evenly the last slot has fewer.
    """
    gpus, each = _gpus(settings.device), settings.gpus_per_slot
    if gpus:
        shares = [",".join(gpus[first : first + each]) for first in range(0, len(gpus), each)]
        return [{"CUDA_VISIBLE_DEVICES": share, "RINGSIDE_DEVICE": "cuda"} for share in shares]
    threads = settings.train_threads
    if "train_threads" not in settings.model_fields_set:
        threads = max(1, threads // settings.slots)
    slots = str(settings.slots)
    return [{"RINGSIDE_TRAIN_THREADS": str(threads), "RINGSIDE_SLOTS": slots}] * settings.slots


class Slot:
    """A place where one training, or one evaluation, at a time can run."""

    def __init__(self, name: str, variables: Mapping[str, str], url: str, *arguments: str) -> None:
        environment = {**variables, "RINGSIDE_REDIS_URL": url}
        command = [sys.executable, "-m", "worker.slot", *arguments]
        self.name, self.kept = name, Kept(partial(start, command, environment))


def keep(
    slots: list[Slot],
    reconciler: "Reconciler",
    signals: "SimpleQueue[int]",
    new_evaluator: Callable[[], Slot],
) -> None:
    """Until a signal to stop: start again what died, at once put back what it was training.

    The slot of evaluations is added when there is the first one: most homes never need it.
    """
    due, has_evaluator = 0.0, False
    while True:
        for slot in slots:
            if slot.kept.keep():
                log.warning("%s died (%s)", slot.name, slot.kept.process.returncode)
                due = 0.0
        if time.monotonic() >= due:
            try:
                reconciler.scan()
                if reconciler.evaluations_wait and not has_evaluator:
                    slots.append(new_evaluator())
                    has_evaluator = True
            except Exception:
                # Whatever it is, trainings are not to die of it.
                log.exception("the jobs cannot be looked after; the next round tries again")
            due = time.monotonic() + _SCAN_SECONDS
        try:
            if signals.get(timeout=_TICK_SECONDS) in _STOP_SIGNALS:
                return
        except Empty:
            pass


def _stop(slots: list[Slot], signals: "SimpleQueue[int]") -> None:
    """Let trainings save and hand their jobs back; a second signal does not wait for that."""
    processes = [slot.kept.process for slot in slots]
    for process in processes:
        if process.poll() is None:
            process.terminate()
    while any(process.poll() is None for process in processes):
        try:
            if signals.get(timeout=_TICK_SECONDS) in _STOP_SIGNALS:
                break
        except Empty:
            pass
    for process in processes:
        process.kill()
        process.wait()


def _gpus(device: str) -> list[str]:
    """Names of the GPUs to use, as CUDA_VISIBLE_DEVICES takes them."""
    if device == "cpu" or not any(Path(file).exists() for file in _GPU_FILES):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = _count_gpus()
    # The variable may name what PyTorch cannot use: -1, or any with a build for the CPU.
    names = [str(index) for index in range(found)] if visible is None else visible.split(",")
    names = names[:found]
    if device.startswith("cuda:"):
        wanted = int(device.removeprefix("cuda:"))
        return names[wanted : wanted + 1]
    return [name for name in names if name]


def _count_gpus() -> int:
    """Asked of a process of its own: one that has used a GPU cannot fork."""
    command = "import torch; print(torch.cuda.device_count())"
    asked = subprocess.run([sys.executable, "-c", command], capture_output=True, check=False)
    return int(asked.stdout or 0)
