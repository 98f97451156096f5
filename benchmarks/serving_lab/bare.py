"""The bare generator: prepared as it is served, in a loop, in processes with one thread each.

Run as a program it serves measurements: a line of JSON in, a line of JSON out.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.fault_lab.service import ROOT
from benchmarks.serving_lab.network import PreparedDrawing, prepared
from worker.processes import die_with_parent

BATCHES = (8, 16, 32, 64)
_WARM_UP_SECONDS = 0.3


class Pace(NamedTuple):
    """Images a second, and milliseconds of processor time of each."""

    per_second: float
    cpu_ms: float


class Bare:
    """Processes that have the generator of a checkpoint in memory."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes
        # Also waits until all have loaded it.
        self.precision = str(_asked(processes, {"what": "precision"})[0])

    def pace(self, batch: int, seconds: float) -> Pace:
        """Of all processes at once."""
        question = {"what": "pace", "batch": batch, "seconds": seconds}
        paces = [Pace(*answer) for answer in _asked(self._processes, question)]
        cpu_ms = statistics.mean(pace.cpu_ms for pace in paces)
        return Pace(sum(pace.per_second for pace in paces), cpu_ms)

    def best_batch(self, seconds: float) -> int:
        """The batch size with the most images a second."""
        rates = {batch: self.pace(batch, seconds).per_second for batch in BATCHES}
        return max(rates, key=lambda batch: rates[batch])

    def lone_ms(self, seconds: float, rest_ms: float = 0.0) -> float:
        """Median milliseconds of one image, latents to PNG, by the first process alone.

        ``rest_ms`` of idleness lie between the images.
        """
        question = {"what": "lone", "seconds": seconds, "rest_ms": rest_ms}
        return float(_asked(self._processes[:1], question)[0])


@contextmanager
def bare(checkpoint: Path, processes: int, device: str = "cpu") -> Iterator[Bare]:
    """The generator in so many processes, which end with the block."""
    with ExitStack() as stack:
        started = [stack.enter_context(_process(checkpoint, device)) for _ in range(processes)]
        yield Bare(started)


@contextmanager
def _process(checkpoint: Path, device: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving_lab.bare", str(checkpoint), device],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _asked(processes: Sequence[subprocess.Popen[str]], question: dict[str, Any]) -> list[Any]:
    """All are asked before the first answers, so that they work at the same time."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
    return [_answer(process) for process in processes]


def _answer(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a process of the bare generator ended; why is above")
    return json.loads(line)


class _Answering:
    """What a process answers."""

    def __init__(self, checkpoint: Path, device: torch.device) -> None:
        self._prepared = prepared(checkpoint, device)
        self._drawing = PreparedDrawing(self._prepared.sampler)

    def precision(self) -> str:
        """The number format."""
        return self._prepared.precision

    @torch.inference_mode()
    def pace(self, batch: int, seconds: float) -> Pace:
        """Of forward passes alone: nobody draws latents or wants the images."""
        sampler = self._prepared.sampler
        latents, labels = sampler.latents(0, 0, batch), sampler.labels(0, 0, batch)
        given = sampler.game.given(latents, sampler.space, sampler.device)
        told = torch.from_numpy(labels).to(sampler.device)

        def make() -> None:
            made = sampler.generator(given, told)
            if made.is_cuda:
                torch.cuda.synchronize(made.device)

        _timed(make, _WARM_UP_SECONDS)
        began = time.process_time()
        taken = _timed(make, seconds)
        images, cpu_seconds = batch * len(taken), time.process_time() - began
        return Pace(images / sum(taken), 1000 * cpu_seconds / images)

    def lone(self, seconds: float, rest_ms: float) -> float:
        """Median milliseconds of one image of ever other seeds."""
        seeds = itertools.count()
        _timed(lambda: self._drawing.pictures([next(seeds)]), _WARM_UP_SECONDS, rest_ms)
        taken = _timed(lambda: self._drawing.pictures([next(seeds)]), seconds, rest_ms)
        return 1000 * statistics.median(taken)


def _timed(work: Callable[[], Any], seconds: float, rest_ms: float = 0.0) -> list[float]:
    """Seconds of each call, for so long."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends or not taken:
        work()
        taken.append(time.perf_counter() - began)
        if rest_ms:
            time.sleep(rest_ms / 1000)
    return taken


def _serve(checkpoint: Path, device: torch.device) -> None:
    answering = _Answering(checkpoint, device)
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(getattr(answering, question.pop("what"))(**question)), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), torch.device(sys.argv[2]))
