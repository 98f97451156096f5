"""One training played by several processes, each on a core of its own and with one thread.

All start before anything is measured; the leader's clock counts, from step to step of them all.
Beside it as many trainings that know nothing of each other, with the shares as their batches: what
could be had if nothing were to be agreed upon.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from subprocess import PIPE, Popen
from typing import NamedTuple

import torch
from torch.distributed import TCPStore

from benchmarks.lab.rounds import Contender, Measured, play
from benchmarks.lab.verdicts import Outcome, Verdict, at_least
from benchmarks.training_lab.options import Lab
from benchmarks.training_lab.setup import Setup, dcgan, wgan_gp
from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from ganmodels.several import ALONE, Group, Order, Several
from worker.engine import autocast_dtype, describe
from worker.following import follow

BATCH_SIZE, WARM_UP_STEPS = 128, 3


class Training(NamedTuple):
    """What is played, made of a batch size, and how many steps are measured."""

    setup: Callable[[int], Setup]
    steps: int


# Norms are what processes have to agree upon most often; the critic has none.
TRAININGS = {
    "dcgan-64": Training(partial(dcgan, 64), 8),
    "dcgan-32": Training(partial(dcgan, 32), 30),
    "wgan-gp-32": Training(partial(wgan_gp, 32), 4),
}
CPU = torch.device("cpu")
_MODULE = "benchmarks.training_lab.several"


class Place(NamedTuple):
    """Which of how many processes this is, where they meet, and what it computes.

    ``port`` is None where they do not.
    """

    place: int
    size: int
    port: int | None
    training: str
    is_bfloat16: bool


def several(lab: Lab) -> list[Outcome]:
    """Two processes of one thread against one, with the same global batch."""
    return [_several(lab, training) for training in TRAININGS]


def _several(lab: Lab, training: str) -> Outcome:
    one, two, apart = "one process", "two processes", "two that are unrelated"
    contenders = [
        Contender(one, lambda _: Measured(images_per_second(training, 1))),
        Contender(two, lambda _: Measured(images_per_second(training, 2))),
        Contender(apart, lambda _: Measured(images_per_second(training, 2, is_one=False))),
    ]
    rounds = play(contenders, lab.options.rounds, lab.options.seconds, lab.console)
    verdicts = [at_least("two processes / one", 1.7, rounds.ratio(two, one))]
    found = f"{rounds.ratio(apart, one):.3f}"
    verdicts.append(Verdict("two that are unrelated / one (the ceiling)", "", found, None))
    setup, steps = TRAININGS[training]
    what = f"real images a second of {setup(BATCH_SIZE).name} in all, gloo"
    note = f"{steps} steps a turn, a core and a thread each; fresh fakes for both players"
    return Outcome("several", what, rounds, verdicts, [note])


def images_per_second(training: str, processes: int, is_one: bool = True) -> float:
    """Real images a second of one of ``TRAININGS``, a batch of 128 in all.

    Process ``n`` has core ``n`` of those that this process may use; there must be as many.
    ``is_one``: whether they play one training, or one each.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < processes:
        raise ValueError(f"{processes} processes need a core each, and there are {len(cores)}")
    config = TRAININGS[training].setup(BATCH_SIZE).config()
    dtype = autocast_dtype(describe(config, CPU, None))
    store = TCPStore("127.0.0.1", 0, processes, is_master=True, wait_for_workers=False)
    started = []
    for place in range(processes):
        port = store.port if is_one else None
        told = Place(place, processes, port, training, dtype is not None)
        command = ["taskset", "--cpu-list", str(cores[place]), sys.executable, "-m", _MODULE]
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        started.append(Popen([*command, json.dumps(told)], env=environment, stdout=PIPE))
    answers = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process of the benchmark failed; see above")
    # One that follows says nothing.
    return sum(float(json.loads(answer.splitlines()[-1])) for answer in answers if answer)


def _play(told: Place) -> None:
    torch.set_num_threads(1)
    group: Group = ALONE
    batch_size = BATCH_SIZE
    if told.port is None:
        batch_size //= told.size
    elif told.size > 1:
        store = TCPStore("127.0.0.1", told.port, told.size, is_master=False)
        group = Several.join(store, told.place, told.size, CPU)
    make, steps = TRAININGS[told.training]
    setup = make(batch_size)
    match = Match(setup.config(), CPU, torch.bfloat16 if told.is_bfloat16 else None, group)
    deck = setup.deck(CPU, group.share(1))
    if group.place:
        follow(match, deck)
    else:
        print(json.dumps(_measure(match, deck, steps)))
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
    return steps * match.images_per_step / (time.perf_counter() - began)


if __name__ == "__main__":
    _play(Place(*json.loads(sys.argv[1])))
