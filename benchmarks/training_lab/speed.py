"""Sections of speed: images a second beside the textbook's, in the same round."""

import os
import time
from collections.abc import Callable, Sequence

import torch

from benchmarks.lab.processor import spent
from benchmarks.lab.rounds import Contender, Measured, Rounds, play
from benchmarks.lab.verdicts import Outcome, at_least, unmeasured
from benchmarks.training_lab.options import Lab
from benchmarks.training_lab.setup import (
    Setup,
    bare_discriminator,
    dcgan,
    perceptrons,
    r1_and_r2,
    r3gan_small,
    wgan_gp,
)
from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from worker.engine import choose_device

TEXTBOOK = "textbook"
# The step of the textbook, and the one that recipes take unless told otherwise.
SAME, FRESH = "shared_fakes", "alternating"
# On a GPU until a step of each kind has been recorded.
_WARM_UP_STEPS, _WARM_UP_STEPS_OF_GPU = 1, 20


def plain(lab: Lab) -> list[Outcome]:
    """The DCGAN step as it is, and with the options that change the dynamics."""
    found = []
    for edge in (64, 32):
        for batch_size in (64, 128):
            found.append(_compare(lab, dcgan(edge, batch_size), 1.8, ["simultaneous"]))
            found.append(_compare(lab, bare_discriminator(edge, batch_size), 1.8, ["rescaled"]))
    return found


def penalised(lab: Lab) -> list[Outcome]:
    """Steps with gradients of gradients."""
    setups = [make(edge, 64) for edge in (64, 32) for make in (r1_and_r2, wgan_gp)]
    return [_compare(lab, setup, 1.6) for setup in setups]


def mlp(lab: Lab) -> list[Outcome]:
    """Fully connected networks."""
    return [_compare(lab, perceptrons(128), 2.0)]


def gpu(lab: Lab) -> list[Outcome]:
    """What only a GPU can reach; not measured where there is none."""
    device, wanted = choose_device("auto"), 100_000
    if device.type != "cuda":
        why = unmeasured("DCGAN 64x64 and R3GAN-small on a GPU", "there is none here")
        return [Outcome("gpu", "real images a second", Rounds({}), [why])]
    options, large, small = lab.options, dcgan(64, 128), r3gan_small(128)
    rounds = play([_ours(large, device, FRESH)], options.rounds, options.seconds, lab.console)
    verdict = at_least("images a second", wanted, rounds.rate(FRESH))
    found = [Outcome(large.name, "images/s", rounds, [verdict])]
    match, deck = small.plain_match(device)
    eager = _contender("eager float32", small, _player(match, deck), device)
    contenders = [eager, _ours(small, device, FRESH)]
    rounds = play(contenders, options.rounds, options.seconds, lab.console)
    verdict = at_least("recorded / eager float32", 3, rounds.ratio(FRESH, eager.name))
    return [*found, Outcome(small.name, "images/s", rounds, [verdict])]


def _compare(
    lab: Lab, setup: Setup, wanted: float, exchanges: Sequence[str] = (), shared: float = 2.1
) -> Outcome:
    """Ringside with the textbook's own step, and with others, beside it on the same networks."""
    device = choose_device("auto")
    book = setup.textbook(device)
    contenders = [_contender(TEXTBOOK, setup, book.run, device)]
    contenders += [_ours(setup, device, exchange) for exchange in (SAME, FRESH, *exchanges)]
    rounds = play(contenders, lab.options.rounds, lab.options.seconds, lab.console)
    book.close()
    verdicts = [at_least(f"{SAME} / textbook", wanted, rounds.ratio(SAME, TEXTBOOK))]
    verdicts += [
        at_least(f"{name} / textbook", shared, rounds.ratio(name, TEXTBOOK)) for name in exchanges
    ]
    precision = setup.match(device)[0].autocast or torch.float32
    notes = [
        f"{lab.options.threads} threads; ringside in {precision}, by the name of its exchange",
        f"{SAME} is the textbook's own step; {FRESH}, the default, makes fakes for each",
    ]
    return Outcome(setup.name, "real images a second", rounds, verdicts, notes)


def _ours(setup: Setup, device: torch.device, exchange: str) -> Contender:
    match, deck = setup.match(device, exchange={"kind": exchange})
    return _contender(exchange, setup, _player(match, deck), device)


def _player(match: Match, deck: Deck) -> Callable[[int], None]:
    def run(steps: int) -> None:
        for _ in range(steps):
            match.play(deck)

    return run


def _contender(
    name: str, setup: Setup, run: Callable[[int], None], device: torch.device
) -> Contender:
    """Runs whole steps until the time is over."""
    turns = setup.config().game.discriminator_steps

    def measure(seconds: float) -> Measured:
        run(_WARM_UP_STEPS_OF_GPU if device.type == "cuda" else _WARM_UP_STEPS)
        _wait_for(device)
        began, steps = time.perf_counter(), 0
        with spent(lambda: [os.getpid()]) as cost:
            while time.perf_counter() - began < seconds:
                run(1)
                steps += 1
            _wait_for(device)
            elapsed = time.perf_counter() - began
        images = steps * turns * setup.batch_size
        return Measured(images / elapsed, cpu_ms=cost.ms_each(images))

    return Contender(name, measure)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
