"""What the number format does to the result: MNIST in bfloat16 and in float32, seed by seed."""

import statistics
from typing import Any

from benchmarks.lab.digits import drawn
from benchmarks.lab.mnist import mnist
from benchmarks.lab.mnist_judge import mnist_judge
from benchmarks.lab.options import Budget
from benchmarks.lab.playing import Task, play
from benchmarks.lab.rounds import Measured, Rounds
from benchmarks.lab.verdicts import Outcome, Verdict, unmeasured
from benchmarks.referee_lab.datasets import dataset
from benchmarks.training_lab.options import Lab
from ganmodels.referee.measures.frechet import frechet

_SAMPLES = 10_000
_FORMATS = ("float32", "bfloat16")
_PLAIN = {"conditioning": {"kind": "none"}, "labels": {"kind": "given"}}
_PENALISED = {
    **_PLAIN,
    "network": {"discriminator_norm": "none"},
    "penalties": [{"kind": "r1", "gamma": 0.1}, {"kind": "r2", "gamma": 0.1}],
}
# Names, recipes, changes of the game, and steps beside those that were asked for.
_TRAINED: tuple[tuple[str, str, dict[str, Any], float], ...] = (
    ("dcgan", "dcgan", {}, 1.0),
    ("dcgan with R1 + R2", "dcgan", _PENALISED, 1.0),
    ("wgan-gp", "wgan-gp", {}, 0.2),
)


def quality(lab: Lab) -> list[Outcome]:
    """Frechet distances at equal steps; none where MNIST is not at hand."""
    data = dataset("mnist")
    if data is None:
        empty = Rounds({})
        why = unmeasured("bfloat16 - float32", "../shared/data/mnist is not there")
        return [Outcome("quality", "Frechet distance on MNIST", empty, [why])]
    return [
        _compare(lab, name, Task(recipe, {"game": game}, data), int(share * lab.options.steps))
        for name, recipe, game, share in _TRAINED
    ]


def _compare(lab: Lab, name: str, task: Task, steps: int) -> Outcome:
    found: dict[str, list[Measured]] = {kind: [] for kind in _FORMATS}
    for seed in range(lab.options.seeds):
        for kind in _FORMATS:
            found[kind].append(Measured(_distance(task, kind, steps, seed)))
            lab.console.print(f"[dim]{name}, {kind}, seed {seed}: {found[kind][-1].rate:.2f}")
    wide, narrow = ([one.rate for one in found[kind]] for kind in _FORMATS)
    what = f"Frechet distance on MNIST after {steps:,} steps; less is better"
    note = f"one row a format, {lab.options.seeds} seeds; 10,000 samples and test images"
    return Outcome(f"quality: {name}", what, Rounds(found), [_verdict(wide, narrow)], [note])


def _verdict(wide: list[float], narrow: list[float]) -> Verdict:
    """Whether bfloat16 is worse by no more than seeds differ among themselves."""
    if len(wide) < 2:
        return unmeasured("bfloat16 - float32", "one seed says nothing of their spread")
    worse = statistics.mean(narrow) - statistics.mean(wide)
    spread = max(statistics.stdev(wide), statistics.stdev(narrow))
    told = f"{worse:+.2f}, sd {spread:.2f}"
    return Verdict("bfloat16 - float32", "<= 1 sd of seeds", told, worse <= spread)


def _distance(task: Task, kind: str, steps: int, seed: int) -> float:
    changes = {**task.changes, "optimisation": {"precision": kind}}
    played = play(task._replace(changes=changes), seed, Budget(steps, 0.0))
    judge = mnist_judge()
    fakes = judge.features(drawn(played, _SAMPLES))
    return float(frechet(fakes, judge.features(mnist().test_images)).value)
