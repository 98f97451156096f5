"""What the semi-supervised game asks of a dataset and of its networks."""

from collections.abc import Iterator

from ganmodels.config import TrainConfig
from ganmodels.games.semi_supervised import SemiSupervised
from ganmodels.validity.finding import Finding, error, warning
from ganmodels.validity.gan import (
    augmentation_fits_space,
    network_fits_space,
    output_noise_has_coordinates,
)
from ganmodels.validity.shared import batches_divide, statistics_have_items

_FEWEST_CLASSES = 2


def there_are_classes(config: TrainConfig, game: SemiSupervised) -> Iterator[Finding]:
    """A classifier needs something to tell apart."""
    count = game.labels.classes(config.space)
    if count < _FEWEST_CLASSES:
        held = "has no labels" if not count else "has one class only"
        yield error(
            "dataset-unlabelled",
            "/game",
            f"semi_supervised learns a classifier, and the dataset {held}; import it with labels "
            "of two classes or more, or train with another recipe",
        )


def items_are_judged_alone(config: TrainConfig, game: SemiSupervised) -> Iterator[Finding]:
    """Labelled items, others and fakes are judged in one batch."""
    if game.network.discriminator_has_batch_norm:
        yield error(
            "batch-norm-in-discriminator",
            "/game/network/discriminator_norm",
            "the discriminator judges labelled items, others and fakes in one batch, which batch "
            'normalisation would mix; set discriminator_norm to "none" or "spectral"',
        )


def parts_are_whole(config: TrainConfig, game: SemiSupervised) -> Iterator[Finding]:
    """Batches are computed in equal parts, and the generator normalises by them."""
    yield from batches_divide(config)
    yield from statistics_have_items(config)


def augmentation_is_fixed(config: TrainConfig, game: SemiSupervised) -> Iterator[Finding]:
    """Nothing here steers a strength: reals of a class are to be told, not to be believed."""
    if game.augmentation.varies:
        yield error(
            "augmentation-cannot-vary",
            "/game/augmentation",
            "this game has no strength that an augmentation could follow; set augmentation to "
            '{"kind": "shift"} or {"kind": "diffaugment"}',
        )


def codes_are_not_recovered(config: TrainConfig, game: SemiSupervised) -> Iterator[Finding]:
    """Nobody makes the generator let codes show."""
    if game.latent.code_count:
        yield warning(
            "codes-without-information",
            "/game/latent",
            "nothing makes the generator let its codes show in this game; leave them out",
        )


def means_are_of_the_batch(config: TrainConfig, game: SemiSupervised) -> Iterator[Finding]:
    """The generator matches mean features of what is computed at once."""
    if config.optimisation.accumulate > 1:
        yield warning(
            "statistics-of-parts",
            "/optimisation/accumulate",
            "the generator matches the mean features of each part of the batch, so the result is "
            "not that of the whole batch; set accumulate to 1 for that",
        )


RULES = (
    network_fits_space,
    there_are_classes,
    items_are_judged_alone,
    augmentation_fits_space,
    augmentation_is_fixed,
    output_noise_has_coordinates,
    parts_are_whole,
    codes_are_not_recovered,
    means_are_of_the_batch,
)


def check_semi_supervised(config: TrainConfig) -> Iterator[Finding]:
    """What is wrong or doubtful with a semi-supervised game; nothing is said of others."""
    if isinstance(config.game, SemiSupervised):
        for rule in RULES:
            yield from rule(config, config.game)
