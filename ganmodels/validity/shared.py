"""Rules that hold for every game."""

from collections.abc import Iterator

from ganmodels.augmentation import Ada, Shift
from ganmodels.config import TrainConfig
from ganmodels.optimisation import BurnInDecay
from ganmodels.replay import Replay
from ganmodels.spaces import ImageSpace
from ganmodels.validity.finding import Finding, error, warning

_FEWEST_IN_A_STATISTIC = 2


def batches_divide(config: TrainConfig, pack: int = 1) -> Iterator[Finding]:
    """A batch is computed in equal parts, and each part holds whole packs."""
    batch, count = config.optimisation.batch_size, config.optimisation.accumulate
    if batch % (count * pack):
        packs = f" of whole packs of {pack}" if pack > 1 else ""
        yield error(
            "batch-not-divisible",
            "/optimisation/batch_size",
            f"a batch of {batch} cannot be computed in {count} equal parts{packs}; make "
            f"batch_size a multiple of {count * pack}",
        )


def statistics_have_items(config: TrainConfig, pack: int = 1) -> Iterator[Finding]:
    """No mean and variance can be taken of one item."""
    batch, count = config.optimisation.batch_size, config.optimisation.accumulate
    if batch // (count * pack) < _FEWEST_IN_A_STATISTIC:
        yield error(
            "part-too-small",
            "/optimisation/batch_size",
            "batch normalisation needs two items or packs at once; make batch_size at least "
            f"{_FEWEST_IN_A_STATISTIC * count * pack}, or accumulate smaller",
        )


def schedules_settle(config: TrainConfig) -> Iterator[Finding]:
    """What goes from one value to another needs to be told by when."""
    optimisation, augmentation = config.optimisation, config.game.augmentation
    rules = (optimisation.generator, optimisation.discriminator)
    moving = [getattr(penalty, "final_gamma", None) for penalty in config.game.penalties]
    moving += [getattr(rule, "final_beta2", None) for rule in rules]
    scheduled = isinstance(augmentation, Ada) and not augmentation.adaptive
    is_moving = scheduled or isinstance(optimisation.decay, BurnInDecay)
    if (is_moving or any(final is not None for final in moving)) and not (
        optimisation.burn_in_images
    ):
        yield warning(
            "no-burn-in",
            "/optimisation/burn_in_images",
            "final_gamma, final_beta2, the burn_in decay and a scheduled augmentation take effect "
            "at once without a burn-in; set burn_in_images to about a fifth of all images",
        )


def shifts_stay_inside(config: TrainConfig) -> Iterator[Finding]:
    """What moves out of an image is gone."""
    augmentation, space = config.game.augmentation, config.space
    if not isinstance(augmentation, Shift) or not isinstance(space, ImageSpace):
        return
    most = (min(space.height, space.width) - 1) // 2
    if augmentation.pixels > most:
        yield error(
            "shift-too-far",
            "/game/augmentation/pixels",
            "an image shifted by half of its edge and more shows little but repeated pixels; shift "
            f"these by {most} at most",
        )


def some_fakes_are_new(config: TrainConfig) -> Iterator[Finding]:
    """The discriminator must see what the generator makes now."""
    replay, optimisation = getattr(config.game, "replay", None), config.optimisation
    if not isinstance(replay, Replay) or replay.share in (0, 1):
        return
    part = optimisation.batch_size // optimisation.accumulate
    if part and replay.swapped(part) == part:
        yield error(
            "part-too-small",
            "/optimisation/accumulate",
            f"of the {part} fakes that are computed at once all would be swapped for old ones; "
            "accumulate smaller, or make batch_size larger or replay.share smaller",
        )


RULES = (schedules_settle, shifts_stay_inside, some_fakes_are_new)
