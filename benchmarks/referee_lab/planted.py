"""Planted matches: healthy ones, and failures that are caused on purpose."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ganmodels.games.match import Match
from ganmodels.referee.config import Failure

Json = dict[str, Any]


class Planted(NamedTuple):
    """A match that is known to go well (``failure`` None) or to fail.

    ``budget`` in steps; a failure is to be named within a fifth of it. ``also``: other names that
    are true of it. ``sabotage`` is done to the match before its first step.
    """

    name: str
    dataset: str
    recipe: str
    budget: int
    failure: Failure | None
    changes: Json
    also: tuple[Failure, ...] = ()
    sabotage: Callable[[Match], None] | None = None


def rates(generator: float, discriminator: float, beta1: float = 0.5, beta2: float = 0.999) -> Json:
    """Adam with these rates and no decay."""
    adams = {"generator": generator, "discriminator": discriminator}
    return {
        **{n: {"learning_rate": r, "beta1": beta1, "beta2": beta2} for n, r in adams.items()},
        "decay": {"kind": "constant"},
    }


def silence(match: Match) -> None:
    """A generator whose output ignores its input: every weight of its last layers is 0."""
    with torch.no_grad():
        for parameter in match.generator.parameters():
            parameter.zero_()


PLAIN: Json = {"conditioning": {"kind": "none"}, "labels": {"kind": "given"}}
NO_NORM: Json = {"network": {"discriminator_norm": "none"}}
MINIMAX: Json = {"objective": {"kind": "minimax"}}
# The failures were planted in the first networks for points, which had no noise of their own and
# were told no clusters.
QUIET: Json = {"generator_widths": [64, 64, 64], "output_noise": False, "discriminator_bias": 0.0}
TWO_GAUSSIANS: Json = {**PLAIN, "latent": {"gaussian": 2, "signs": 0}, "network": QUIET}
BARE_POINTS: Json = {
    **TWO_GAUSSIANS,
    "objective": {"kind": "non_saturating"},
    "penalties": [],
}

HEALTHY = (
    Planted("ring", "ring", "points", 10_000, None, {}),
    Planted("grid", "grid", "points", 10_000, None, {}),
    Planted("digits, cgan", "digits", "cgan", 3_000, None, {}),
    Planted("digits, dcgan", "digits", "dcgan", 3_000, None, {}),
    Planted("digits, no clusters", "digits", "dcgan", 2_000, None, {"game": PLAIN}),
    Planted("digits, lsgan", "digits", "lsgan", 2_000, None, {}),
    Planted("digits, wgan-gp", "digits", "wgan-gp", 400, None, {}),
    Planted("digits, r3gan-small", "digits", "r3gan-small", 300, None, {}),
    Planted("digits, slow", "digits", "dcgan", 2_000, None, {"learning_rate": 2e-4}),
    Planted("MNIST, cgan", "mnist", "cgan", 1_500, None, {}),
    Planted("MNIST, dcgan", "mnist", "dcgan", 1_500, None, {}),
    Planted("Fashion-MNIST, cgan", "fashion", "cgan", 1_500, None, {}),
)

FAILING = (
    Planted(
        "quick discriminator, minimax",
        "digits",
        "dcgan",
        2_000,
        "discriminator_overpowering",
        {
            "game": {**PLAIN, **NO_NORM, **MINIMAX, "discriminator_steps": 3},
            "optimisation": rates(2e-5, 1e-3),
        },
    ),
    Planted(
        "vanished gradient, minimax",
        "mnist",
        "dcgan",
        2_000,
        "discriminator_overpowering",
        {
            "game": {**PLAIN, **NO_NORM, **MINIMAX, "discriminator_steps": 3},
            "optimisation": rates(2e-4, 2e-3),
        },
    ),
    Planted(
        "oversized discriminator",
        "digits",
        "dcgan",
        2_000,
        "discriminator_overpowering",
        {
            "game": {
                **PLAIN,
                "network": {
                    "discriminator_norm": "none",
                    "generator_width": 8,
                    "discriminator_width": 64,
                },
                "discriminator_steps": 5,
            },
            "optimisation": rates(2e-5, 1e-3),
        },
    ),
    Planted(
        "starved discriminator",
        "digits",
        "dcgan",
        2_000,
        "mode_collapse",
        {"game": {**PLAIN, **NO_NORM}, "optimisation": {**rates(2e-3, 2e-5), "batch_size": 64}},
    ),
    Planted(
        "starved discriminator",
        "mnist",
        "dcgan",
        2_000,
        "mode_collapse",
        {"game": {**PLAIN, **NO_NORM}, "optimisation": {**rates(2e-3, 2e-5), "batch_size": 64}},
    ),
    Planted(
        "cycling, quick generator",
        "digits",
        "dcgan",
        2_000,
        "mode_collapse",
        {"game": PLAIN, "optimisation": {**rates(1e-2, 1e-4), "batch_size": 64}},
        also=("oscillation",),
    ),
    Planted(
        "constant generator",
        "digits",
        "dcgan",
        2_000,
        "mode_collapse",
        {"game": PLAIN, "optimisation": rates(1e-6, 1e-3)},
        also=("discriminator_overpowering",),
        sabotage=silence,
    ),
    Planted(
        "high momentum, no penalty",
        "ring",
        "points",
        5_000,
        "oscillation",
        {"game": BARE_POINTS, "optimisation": rates(2e-3, 2e-3, 0.9, 0.99)},
        also=("mode_collapse",),
    ),
    Planted(
        "critic without penalty",
        "ring",
        "points",
        5_000,
        "oscillation",
        {
            "game": {**BARE_POINTS, "objective": {"kind": "wasserstein"}},
            "optimisation": rates(1e-3, 1e-3),
        },
        also=("mode_collapse",),
    ),
    Planted(
        "small slow discriminator",
        "ring",
        "points",
        5_000,
        "generator_exploiting",
        {
            "game": {**BARE_POINTS, "network": {**QUIET, "discriminator_widths": [32, 32]}},
            "optimisation": rates(5e-3, 1e-4, 0.5, 0.99),
        },
        also=("divergence", "mode_collapse", "oscillation"),
    ),
    Planted(
        "learning rate 0.1",
        "digits",
        "dcgan",
        1_000,
        "divergence",
        {"game": {**PLAIN, **NO_NORM}, "optimisation": {**rates(0.1, 0.1), "batch_size": 64}},
    ),
    Planted(
        "critic without penalty",
        "mnist",
        "wgan-gp",
        1_000,
        "divergence",
        {
            "game": {"penalties": [], "discriminator_steps": 1},
            "optimisation": rates(1e-3, 1e-3),
        },
    ),
    Planted(
        "200 images, no augmentation",
        "mnist:200",
        "dcgan",
        5_000,
        "discriminator_overfitting",
        {"game": PLAIN},
    ),
    Planted(
        "a label for each item",
        "digits:50",
        "dcgan",
        5_000,
        "memorisation",
        {"game": {"labels": {"kind": "clusters", "count": 45}}},
        also=("discriminator_overfitting",),
    ),
    Planted(
        "penalty far too strong",
        "ring",
        "points",
        5_000,
        "not_learning",
        {
            "game": {
                **TWO_GAUSSIANS,
                "penalties": [{"kind": "r1", "gamma": 300.0}, {"kind": "r2", "gamma": 300.0}],
            },
            "optimisation": rates(1e-3, 1e-3, 0.0, 0.99),
        },
        also=("generator_exploiting", "oscillation"),
    ),
    Planted(
        "rates of 1e-6",
        "digits",
        "dcgan",
        2_000,
        "not_learning",
        {"game": PLAIN, "learning_rate": 1e-6},
    ),
    Planted("all items black", "black", "dcgan", 1_000, "not_learning", {"game": PLAIN}),
)
