"""One training played by several processes, each on a core of its own and with one thread.

All start before anything is measured; the leader's clock counts, from step to step of them all.
"""

import json
import os
import sys
import time
from subprocess import PIPE, Popen
from typing import NamedTuple

import torch
from torch.distributed import TCPStore

from benchmarks.lab.rounds import Contender, Measured, play
from benchmarks.lab.verdicts import Outcome, at_least
from benchmarks.training_lab.options import Lab
from benchmarks.training_lab.setup import dcgan
from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from ganmodels.several import ALONE, Group, Order, Several
from worker.engine import autocast_dtype, describe
from worker.following import follow

EDGE, BATCH_SIZE, WARM_UP_STEPS = 32, 128, 5
CPU = torch.device("cpu")
_STEPS = 30
_MODULE = "benchmarks.training_lab.several"


class Place(NamedTuple):
    """Which of how many processes this is, where they meet, and what it computes in."""

    place: int
    size: int
    port: int
    steps: int
    is_bfloat16: bool


def several(lab: Lab) -> list[Outcome]:
    """Two processes of one thread against one, with the same global batch."""
    names = ("one process", "two processes")
    contenders = [
        Contender(names[0], lambda _: Measured(images_per_second(1, _STEPS))),
        Contender(names[1], lambda _: Measured(images_per_second(2, _STEPS))),
    ]
    rounds = play(contenders, lab.options.rounds, lab.options.seconds, lab.console)
    verdict = at_least("two processes / one", 1.7, rounds.ratio(names[1], names[0]))
    what = f"real images a second of DCGAN {EDGE}x{EDGE}, batch {BATCH_SIZE} in all, gloo"
    note = f"{_STEPS} steps a turn, a core and a thread each; fresh fakes for both players"
    return [Outcome("several", what, rounds, [verdict], [note])]


def images_per_second(processes: int, steps: int) -> float:
    """Real images a second of DCGAN on images of 32x32 with a batch of 128 in all.

    Process ``n`` has core ``n`` of those that this process may use; there must be as many.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < processes:
        raise ValueError(f"{processes} processes need a core each, and there are {len(cores)}")
    dtype = autocast_dtype(describe(dcgan(EDGE, BATCH_SIZE).config(), CPU, None))
    store = TCPStore("127.0.0.1", 0, processes, is_master=True, wait_for_workers=False)
    started = []
    for place in range(processes):
        told = Place(place, processes, store.port, steps, dtype is not None)
        command = ["taskset", "--cpu-list", str(cores[place]), sys.executable, "-m", _MODULE]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        started.append(Popen([*command, json.dumps(told)], env=environment, stdout=PIPE))
    answers = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process of the benchmark failed; see above")
    return float(json.loads(answers[0].splitlines()[-1]))


def _play(told: Place) -> None:
    torch.set_num_threads(1)
    group: Group = ALONE
    if told.size > 1:
        store = TCPStore("127.0.0.1", told.port, told.size, is_master=False)
        group = Several.join(store, told.place, told.size, CPU)
    setup = dcgan(EDGE, BATCH_SIZE)
    match = Match(setup.config(), CPU, torch.bfloat16 if told.is_bfloat16 else None, group)
    deck = setup.deck(CPU, group.share(1))
    if told.place:
        follow(match, deck)
    else:
        print(json.dumps(_measure(match, deck, told.steps)))
        group.tell(Order.STOP)
    # Processes that take down their connections at once abort now and then.
    sys.stdout.flush()
    os._exit(0)


def _measure(match: Match, deck: Deck, steps: int) -> float:
    for _ in range(WARM_UP_STEPS):
        match.play(deck)
    began = time.perf_counter()
    for _ in range(steps):
        match.play(deck)
    return steps * BATCH_SIZE / (time.perf_counter() - began)


if __name__ == "__main__":
    _play(Place(*json.loads(sys.argv[1])))
