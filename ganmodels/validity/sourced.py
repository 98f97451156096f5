"""What games are given that translate, and what others must not be given."""

from collections.abc import Iterator

from ganmodels.config import Source, TrainConfig
from ganmodels.games.sourced import Sourced
from ganmodels.games.translator import Translator
from ganmodels.networks.blocks import LARGEST_EDGE, SMALLEST_EDGE
from ganmodels.spaces import ImageSpace
from ganmodels.validity.finding import Finding, error, warning
from ganmodels.validity.shared import batches_divide


def check_source(config: TrainConfig) -> Iterator[Finding]:
    """A source is given exactly where the game needs one."""
    game, source = config.game, config.source
    if game.needs_source and source is None:
        yield error(
            "source-missing",
            "/source",
            f"the {game.kind} game makes items of those of another dataset; name that dataset as "
            "source",
        )
    if source and not game.needs_source:
        yield error(
            "source-unused",
            "/source",
            f"the {game.kind} game makes items of noise and takes no source; leave source out, or "
            "use the simgan or cyclegan recipe",
        )


def source_fits(config: TrainConfig, source: Source) -> Iterator[Finding]:
    """What goes in and what comes out have one shape, and are not the same anyway."""
    if source.space.shape != config.space.shape:
        yield error(
            "source-shape",
            "/source",
            f"the source's items have the shape {_shape(source.space.shape)}, the dataset's "
            f"{_shape(config.space.shape)} (channels first); import one of them again with the "
            "size and channels of the other",
        )
    if source.dataset == config.dataset:
        yield warning(
            "source-is-dataset",
            "/source",
            "the source is the dataset itself, so there is nothing to translate; name another "
            "dataset as source",
        )


def space_is_translated(config: TrainConfig, game: Sourced) -> Iterator[Finding]:
    """Networks from images to images are convolutional."""
    space = config.space
    if not isinstance(space, ImageSpace):
        yield error(
            "translation-needs-images",
            "/dataset",
            f"the {game.kind} game translates images, and the dataset holds {space.kind}; choose "
            "a dataset of images",
        )
        return
    edges = (space.height, space.width)
    if min(edges) < SMALLEST_EDGE or max(edges) > LARGEST_EDGE:
        yield error(
            "image-size-unsupported",
            "/game/network",
            f"{game.network.kind} takes images of {SMALLEST_EDGE} to {LARGEST_EDGE} pixels a side, "
            f"the dataset's are {space.height}x{space.width}; import both datasets again with "
            "another size",
        )


def patches_are_unpaired(config: TrainConfig, game: Sourced) -> Iterator[Finding]:
    """A place in one image corresponds to no place in another."""
    if game.objective.paired:
        yield error(
            "patches-do-not-pair",
            "/game/objective",
            "this objective compares logits in pairs, and the patches of two unpaired images do "
            'not belong together; set objective to {"kind": "least_squares"} or '
            '{"kind": "non_saturating"}',
        )


def patch_critic_is_lipschitz(config: TrainConfig, game: Sourced) -> Iterator[Finding]:
    """The Wasserstein estimate is meaningless for an unbounded slope."""
    if game.objective.needs_lipschitz and not game.network.discriminator_has_spectral_norm:
        yield error(
            "wasserstein-without-lipschitz",
            "/game/network/discriminator_norm",
            "the wasserstein objective diverges unless the discriminator's slope is held; set "
            'discriminator_norm to "spectral"',
        )


def reflection_is_deterministic(config: TrainConfig, game: Sourced) -> Iterator[Finding]:
    """On a GPU the gradient of reflected edges is added in whatever order its threads come."""
    if isinstance(game, Translator) and config.engine.deterministic:
        yield error(
            "deterministic-unsupported",
            "/engine/deterministic",
            "its networks reflect the edges of images, for which GPUs have no deterministic "
            "kernels; set deterministic to false (on a CPU every training is exact without it)",
        )


RULES = (
    space_is_translated,
    patches_are_unpaired,
    patch_critic_is_lipschitz,
    reflection_is_deterministic,
)


def check_sourced(config: TrainConfig) -> Iterator[Finding]:
    """What is wrong or doubtful with a game that translates; nothing is said of other games."""
    yield from check_source(config)
    if not isinstance(config.game, Sourced):
        return
    for rule in RULES:
        yield from rule(config, config.game)
    yield from batches_divide(config)
    if config.source:
        yield from source_fits(config, config.source)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
