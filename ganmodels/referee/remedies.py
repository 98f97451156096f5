"""Remedies: for each failure the first change of the configuration that is possible and valid."""

from collections.abc import Callable, Iterator, Mapping

from pydantic import ValidationError

from ganmodels.config import TrainConfig
from ganmodels.games import Gan
from ganmodels.merging import merge_patch
from ganmodels.objectives import Minimax
from ganmodels.referee.config import Failure
from ganmodels.referee.health import Remedy
from ganmodels.spaces import ImageSpace
from ganmodels.validity import InvalidConfig, check

Candidates = Callable[[TrainConfig, int], Iterator[Remedy]]

_SAFE_RATE = 2e-4
_LEAST_RATE = 1e-6
_NOTHING_LEFT = Remedy(
    detail="no single setting is known to help: try another recipe, or look at the dataset",
    patch={},
)


def remedy(failure: Failure, config: TrainConfig, since_step: int) -> Remedy:
    """What to change; the patch applies to the configuration and leaves it valid.

    It is empty where nothing is left that could be tried.
    """
    candidates = _CANDIDATES[failure](config, since_step)
    return next((one for one in candidates if _is_possible(config, one)), _NOTHING_LEFT)


def with_rates(config: TrainConfig, factor: float) -> TrainConfig:
    """The configuration with both learning rates multiplied."""
    optimisation = config.optimisation
    rates = {
        name: adam.model_copy(update={"learning_rate": adam.learning_rate * factor})
        for name, adam in (
            ("generator", optimisation.generator),
            ("discriminator", optimisation.discriminator),
        )
    }
    return config.model_copy(update={"optimisation": optimisation.model_copy(update=rates)})


def _is_possible(config: TrainConfig, candidate: Remedy) -> bool:
    after = merge_patch(config.model_dump(mode="json"), candidate.patch)
    try:
        changed = TrainConfig.model_validate(after, strict=False)
        check(changed)
    except (ValidationError, InvalidConfig):
        return False
    return changed != config


def _rates(
    detail: str, generator: float | None = None, discriminator: float | None = None
) -> Remedy:
    given = {"generator": generator, "discriminator": discriminator}
    # Two digits are as exact as such advice gets.
    rates = {
        name: {"learning_rate": float(f"{rate:.2g}")}
        for name, rate in given.items()
        if rate is not None and rate >= _LEAST_RATE
    }
    return Remedy(detail=detail, patch={"optimisation": rates})  # type: ignore[dict-item]


def _penalised() -> Remedy:
    penalties = [{"kind": "r1", "gamma": 1.0}, {"kind": "r2", "gamma": 1.0}]
    return Remedy(
        detail="hold the discriminator's slope with R1 and R2, and compare in pairs",
        patch={
            "game": {
                "objective": {"kind": "relativistic_pairing"},
                "penalties": penalties,  # type: ignore[dict-item]
            }
        },
    )


def _penalised_without_norm() -> Remedy:
    game = _penalised().patch["game"]
    assert isinstance(game, dict)
    return Remedy(
        detail="hold the discriminator's slope with R1 and R2, without batch normalisation in it",
        patch={"game": {**game, "network": {"discriminator_norm": "none"}}},
    )


def _held_slope() -> Iterator[Remedy]:
    yield _penalised()
    yield _penalised_without_norm()


def _gentler(config: TrainConfig, since_step: int) -> Iterator[Remedy]:
    optimisation = config.optimisation
    g, d = optimisation.generator.learning_rate, optimisation.discriminator.learning_rate
    if config.game.needs_lipschitz and not config.game.penalties:
        yield Remedy(
            detail="a Wasserstein critic needs its slope held",
            patch={
                "game": {
                    "network": {"discriminator_norm": "none"},
                    "penalties": [{"kind": "one_centred"}],
                }
            },
        )
        yield Remedy(
            detail="a Wasserstein critic needs its slope held",
            patch={"game": {"penalties": [{"kind": "one_centred"}]}},
        )
    if max(g, d) > 10 * _SAFE_RATE:
        yield _rates("lower both learning rates", min(g, _SAFE_RATE), min(d, _SAFE_RATE))
    yield from _held_slope()
    yield _rates("lower both learning rates", g / 4, d / 4)


def _balanced(config: TrainConfig, since_step: int) -> Iterator[Remedy]:
    """For a discriminator that is too weak, or a generator that is too quick."""
    optimisation = config.optimisation
    g, d = optimisation.generator.learning_rate, optimisation.discriminator.learning_rate
    if min(g, d) > 10 * _SAFE_RATE:
        yield _rates("lower both learning rates", _SAFE_RATE, _SAFE_RATE)
    if g > d:
        rate = max(d, _SAFE_RATE)
        yield _rates("let both learn equally fast: the generator outruns its judge", rate, rate)
    yield from _held_slope()
    if config.game.discriminator_steps < 5:
        yield Remedy(
            detail="give the discriminator more turns",
            patch={"game": {"discriminator_steps": config.game.discriminator_steps + 1}},
        )
    yield _rates("lower both learning rates", g / 4, d / 4)


def _weaker_judge(config: TrainConfig, since_step: int) -> Iterator[Remedy]:
    optimisation = config.optimisation
    g, d = optimisation.generator.learning_rate, optimisation.discriminator.learning_rate
    if isinstance(config.game, Gan) and isinstance(config.game.objective, Minimax):
        yield Remedy(
            detail="use the loss whose gradient does not vanish when the discriminator is sure, "
            "and let both learn equally fast",
            patch={
                "game": {"objective": {"kind": "non_saturating"}, "discriminator_steps": 1},
                "optimisation": {
                    "generator": {"learning_rate": max(g, _SAFE_RATE)},
                    "discriminator": {"learning_rate": min(d, max(g, _SAFE_RATE))},
                },
            },
        )
    if d > g or config.game.discriminator_steps > 1:
        yield Remedy(
            detail="let both learn equally fast",
            patch={
                "game": {"discriminator_steps": 1},
                "optimisation": {
                    "generator": {"learning_rate": max(g, _SAFE_RATE)},
                    "discriminator": {"learning_rate": max(g, _SAFE_RATE)},
                },
            },
        )
    yield from _held_slope()
    yield _rates("slow the discriminator down", None, d / 4)


def _less_by_heart(config: TrainConfig, since_step: int) -> Iterator[Remedy]:
    if isinstance(config.space, ImageSpace):
        yield Remedy(
            detail="show the discriminator shifted images, so that it cannot know them by heart",
            patch={"game": {"augmentation": {"kind": "shift", "pixels": 2}}},
        )
    yield from _held_slope()
    yield Remedy(
        detail="import more data, or stop when it begins",
        patch={"schedule": {"steps": max(1, since_step)}},
    )


def _learning(config: TrainConfig, since_step: int) -> Iterator[Remedy]:
    optimisation = config.optimisation
    g, d = optimisation.generator.learning_rate, optimisation.discriminator.learning_rate
    penalties = config.game.penalties
    strong = [penalty for penalty in penalties if getattr(penalty, "gamma", 0.0) > 10]
    if strong:
        yield Remedy(
            detail="the penalty holds the discriminator too tightly to teach anything",
            patch={
                "game": {
                    "penalties": [
                        {"kind": penalty.kind, "gamma": 0.02}
                        if penalty in strong
                        else penalty.model_dump(mode="json")
                        for penalty in penalties
                    ]
                }
            },
        )
    if min(g, d) < _SAFE_RATE:
        yield _rates("learn faster", max(g, 5 * _SAFE_RATE), max(d, 5 * _SAFE_RATE))
    yield from _balanced(config, since_step)


_CANDIDATES: Mapping[Failure, Candidates] = {
    "divergence": _gentler,
    "mode_collapse": _balanced,
    "oscillation": _gentler,
    "discriminator_overpowering": _weaker_judge,
    "generator_exploiting": _balanced,
    "discriminator_overfitting": _less_by_heart,
    "memorisation": _less_by_heart,
    "not_learning": _learning,
}
