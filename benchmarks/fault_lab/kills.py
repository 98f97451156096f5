"""kill -9, at random times, of each process that a training hangs on."""

from collections.abc import Callable, Iterator, Mapping

from benchmarks.fault_lab.interruptions import Strike, interrupted_runs, summarise
from benchmarks.fault_lab.processes import kill
from benchmarks.fault_lab.report import Report
from benchmarks.fault_lab.service import Ringside
from benchmarks.fault_lab.task import CHECKPOINT_STEPS, STEPS

_VICTIMS: Mapping[str, Callable[[Ringside], list[int]]] = {
    "training process": Ringside.trainers,
    "slot": Ringside.slots,
    "both": lambda service: [*service.trainers(), *service.slots()],
    "supervisor": lambda service: [service.part("service.cli worker")],
}


def kills(trials: int, seed: int, steps: int = STEPS) -> Iterator[Report]:
    """A row per victim; ``trials`` are shared out among them."""
    strikes: dict[str, Strike] = {name: _killing(find) for name, find in _VICTIMS.items()}
    strikes["everything"] = _kill_everything
    for place, (name, strike) in enumerate(strikes.items()):
        share = trials // len(strikes) + (place < trials % len(strikes))
        if share:
            runs = interrupted_runs(strike, share, f"kills/{seed}/{name}", steps)
            yield summarise(f"kill -9: {name}", runs, seed, steps, CHECKPOINT_STEPS)


def _killing(find: Callable[[Ringside], list[int]]) -> Strike:
    return lambda service: kill(find(service))


def _kill_everything(service: Ringside) -> None:
    """Nobody is left to start anything again but who started it the first time."""
    service.kill()
    service.start()
