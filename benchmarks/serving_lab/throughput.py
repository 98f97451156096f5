"""Sections of throughput: arrays, single pictures against peers, the engine alone, small images."""

from collections.abc import Sequence

import torch

from benchmarks.lab.rounds import Rounds, play
from benchmarks.lab.verdicts import Outcome, Verdict, at_least, at_most, unmeasured
from benchmarks.serving_lab.contenders import OURS, Entry, bare_generator, ours, tuned_peers
from benchmarks.serving_lab.lab import Lab
from benchmarks.serving_lab.load import Load
from benchmarks.serving_lab.peers.known import PEERS
from benchmarks.serving_lab.table import BARE

ARRAYS = Load("/sample?model=large&n=64&format=npy&seed={seed}", clients=8, images=64)
PICTURES = Load("/sample?model=large&seed={seed}", clients=64)
SMALL_PICTURES = Load("/sample?model=small&seed={seed}", clients=64)
# Few requests, which end together: what is under way when the time is up would weigh.
_TIMES_LONGER = 3
_NO_PEERS = "needs --peers DIR"


def arrays(lab: Lab) -> Outcome:
    """64 images a request as npy."""
    what = f"64 images a request, 8 clients, {_TIMES_LONGER} times as long"
    outcome, rounds = _beside_bare(lab, "npy", what, ARRAYS, "large", _TIMES_LONGER)
    verdict = at_least("share of the bare generator", 0.9, rounds.ratio(OURS, BARE))
    return outcome._replace(verdicts=[verdict, _no_failure(rounds)])


def small(lab: Lab) -> Outcome:
    """Single PNGs of the small generator."""
    what = "one PNG of 32x32x1 a request, 64 clients"
    outcome, rounds = _beside_bare(lab, "small", what, SMALL_PICTURES, "small")
    verdict = at_least("share of the bare generator", 0.85, rounds.ratio(OURS, BARE))
    return outcome._replace(verdicts=[verdict, _no_failure(rounds)])


def pictures(lab: Lab) -> Outcome:
    """Single PNGs, with peers as their users run them."""
    what = "one PNG of 64x64x3 a request, 64 clients; peers: eager float32, Pillow"
    outcome, peers = _beside_peers(lab, "png", what, is_prepared=False)
    return outcome._replace(verdicts=[*_four_times(outcome.rounds, peers)])


def engine(lab: Lab) -> Outcome:
    """Single PNGs, with peers that are given our generator and our encoder."""
    what = "one PNG of 64x64x3 a request, 64 clients; peers: our prepared generator and encoder"
    outcome, peers = _beside_peers(lab, "engine", what, is_prepared=True)
    rounds = outcome.rounds
    share = at_least("share of the bare generator", 0.9, rounds.ratio(OURS, BARE))
    return outcome._replace(verdicts=[*_ahead_of_each(rounds, peers), share, _no_failure(rounds)])


def gpu(lab: Lab) -> Outcome:
    """The large generator on a GPU."""
    return _on_gpu(lab, "gpu", "large")


def gpu_r3gan(lab: Lab) -> Outcome:
    """R3GAN's generator on a GPU."""
    return _on_gpu(lab, "gpu-r3gan", "r3gan")


def _on_gpu(lab: Lab, name: str, size: str) -> Outcome:
    load = ARRAYS._replace(path=ARRAYS.path.replace("large", size), clients=16)
    what = f"{size}: 64 images a request as npy, {load.clients} clients; bare: recorded kernels"
    measure = "share of the bare generator"
    if not torch.cuda.is_available():
        return Outcome(name, what, Rounds({}), [unmeasured(measure, "no GPU here")])
    outcome, rounds = _beside_bare(lab, name, what, load, size, device="cuda")
    return outcome._replace(verdicts=[at_least(measure, 0.85, rounds.ratio(OURS, BARE))])


def _beside_bare(
    lab: Lab,
    name: str,
    what: str,
    load: Load,
    size: str,
    times: float = 1,
    device: str = "cpu",
) -> tuple[Outcome, Rounds]:
    bare = bare_generator(lab, size, device)
    rounds = _play(lab, load, [bare], times, device)
    return Outcome(name, what, rounds, [], [bare.note]), rounds


def _beside_peers(
    lab: Lab, name: str, what: str, is_prepared: bool
) -> tuple[Outcome, Sequence[str]]:
    bare = bare_generator(lab, "large")
    chosen = [PEERS[name] for name in lab.options.only] if lab.options.peers else []
    peers = tuned_peers(lab, chosen, is_prepared)
    rounds = _play(lab, PICTURES, [bare, *peers])
    notes = [entry.note for entry in (bare, *peers)]
    return Outcome(name, what, rounds, [], notes), [entry.contender.name for entry in peers]


def _play(
    lab: Lab, load: Load, entries: Sequence[Entry], times: float = 1, device: str = "cpu"
) -> Rounds:
    settings = {"RINGSIDE_SAMPLING_DEVICE": device}
    contenders = [ours(lab, load, settings=settings), *(entry.contender for entry in entries)]
    return play(contenders, lab.options.rounds, times * lab.options.seconds, lab.console)


def _four_times(rounds: Rounds, peers: Sequence[str]) -> list[Verdict]:
    """Against the best peer, which is the one with the highest rate."""
    if not peers:
        return [unmeasured("against the best peer", _NO_PEERS), _no_failure(rounds)]
    best = max(peers, key=rounds.rate)
    p99 = rounds.p99_ms(OURS) / rounds.p99_ms(best)
    return [
        at_least(f"times the best peer, {best}", 4, rounds.ratio(OURS, best)),
        at_most(f"p99 over that of {best}", 0.5, p99),
        _no_failure(rounds),
    ]


def _ahead_of_each(rounds: Rounds, peers: Sequence[str]) -> list[Verdict]:
    if not peers:
        return [unmeasured("against each peer", _NO_PEERS)]
    return [at_least(f"times {name}", 1.3, rounds.ratio(OURS, name)) for name in peers]


def _no_failure(rounds: Rounds) -> Verdict:
    return at_most("our failed requests", 0, rounds.failed(OURS))
