"""Which axes of a GAN go together."""

from collections.abc import Iterator
from typing import Literal

from ganmodels.augmentation import DiffAugment
from ganmodels.config import TrainConfig
from ganmodels.games import Game, Gan, SemiSupervised
from ganmodels.networks import Mlp
from ganmodels.networks.blocks import LARGEST_EDGE, SMALLEST_EDGE
from ganmodels.optimisation import Adam
from ganmodels.penalties import OneCentred
from ganmodels.spaces import ImageSpace
from ganmodels.validity.exchange import slopes_can_be_rescaled, turns_can_be_joined
from ganmodels.validity.finding import Finding, error, warning
from ganmodels.validity.several import losses_of_batches
from ganmodels.validity.shared import batches_divide, statistics_have_items


def network_fits_space(config: TrainConfig, game: Game) -> Iterator[Finding]:
    """Convolutional networks need images from 8 to 128 pixels."""
    network, space = game.network, config.space
    if not network.image_only:
        return
    if not isinstance(space, ImageSpace):
        yield error(
            "network-needs-images",
            "/game/network",
            f"{network.kind} works on images, but the dataset holds {space.kind}; use mlp",
        )
        return
    edges = (space.height, space.width)
    if min(edges) < SMALLEST_EDGE or max(edges) > LARGEST_EDGE:
        yield error(
            "image-size-unsupported",
            "/game/network",
            f"{network.kind} takes images of {SMALLEST_EDGE} to {LARGEST_EDGE} pixels a side, the "
            f"dataset's are {space.height}x{space.width}; import it again with another size",
        )


def labels_exist(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Conditioning needs labels, and labels need conditioning."""
    if game.conditioning.needs_labels and game.labels.classes(config.space) == 0:
        yield error(
            "dataset-unlabelled",
            "/game/conditioning",
            "this conditioning needs labels, and the dataset has none; import it with labels, set "
            'labels to {"kind": "clusters"} or conditioning to {"kind": "none"}',
        )
    if not (game.conditioning.needs_labels or game.labels.given):
        yield error(
            "labels-unused",
            "/game/labels",
            "clusters are found for conditioning, and this game has none; set conditioning to "
            '{"kind": "learned_map"} or labels to {"kind": "given"}',
        )


def conditioning_has_a_place(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Class-conditional batch normalisation needs batch normalisation in the generator."""
    if game.conditioning.needs_generator_norm and not game.network.generator_has_batch_norm:
        yield error(
            "class-norm-needs-batch-norm",
            "/game/conditioning",
            "this conditioning tells the generator its class through batch normalisation, and this "
            'generator has none; set generator_norm to "batch" or conditioning to '
            '{"kind": "concatenation"}',
        )


def output_noise_has_coordinates(
    config: TrainConfig, game: Gan | SemiSupervised
) -> Iterator[Finding]:
    """Noise on the items is taken from the latent's normal coordinates, and some must remain."""
    if not isinstance(game.network, Mlp):
        return
    needed, latent = game.network.noise_width(config.space), game.latent
    if latent.gaussian < needed or (needed and latent.width == needed):
        yield error(
            "output-noise-needs-latent",
            "/game/latent/gaussian",
            f"output_noise takes {needed} normal coordinates of the latent, one for each value of "
            f"an item, and leaves the others to the layers; the latent has {latent.gaussian} of "
            f"{latent.width} in all: set gaussian to {needed + 1} or output_noise to false",
        )


def gradients_are_per_item(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Batch normalisation in D mixes items, so no gradient or pair belongs to one item."""
    if not game.network.discriminator_has_batch_norm:
        return
    reasons = [f"the {penalty.kind} penalty" for penalty in game.penalties]
    reasons += ["relativistic pairing"] if game.objective.paired else []
    reasons += ["unrolling"] if game.unrolling else []
    if reasons:
        yield error(
            "batch-norm-in-discriminator",
            "/game/network/discriminator_norm",
            f"{' and '.join(reasons)} needs a logit that depends on one item alone, and batch "
            'normalisation mixes the batch; set discriminator_norm to "none" or "spectral"',
        )


def critic_is_lipschitz(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """The Wasserstein estimate is meaningless for an unbounded slope."""
    held = game.network.discriminator_has_spectral_norm
    held = held or any(penalty.keeps_lipschitz for penalty in game.penalties)
    held = held or game.weight_clip > 0
    if game.objective.needs_lipschitz and not held:
        yield error(
            "wasserstein-without-lipschitz",
            "/game/penalties",
            "the wasserstein objective diverges unless the discriminator's slope is held; add "
            '{"kind": "one_centred"} to penalties or set discriminator_norm to "spectral"',
        )


def penalties_are_not_lazy(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Lazy R1/R2 fails with relativistic pairing. Source: Huang et al. 2024, appendix E."""
    lazy = [i for i, penalty in enumerate(game.penalties) if penalty.every > 1]
    if not (game.objective.paired and lazy):
        return
    severity: Literal["error", "warning"] = (
        "warning" if isinstance(config.space, ImageSpace) else "error"
    )
    yield Finding(
        severity,
        "lazy-penalty",
        f"/game/penalties/{lazy[0]}/every",
        "with relativistic pairing a penalty that is not applied at every step costs quality on "
        "images and fails completely on points; set every to 1",
    )


def penalties_are_not_redundant(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Two holds on the same slope cost time and gain nothing."""
    if game.network.discriminator_has_spectral_norm and any(
        isinstance(penalty, OneCentred) for penalty in game.penalties
    ):
        yield warning(
            "redundant-penalty",
            "/game/penalties",
            "spectral normalisation already bounds the slope; the one-centred penalty is slow and "
            "adds little",
        )
    kinds = [penalty.kind for penalty in game.penalties]
    if len(set(kinds)) < len(kinds):
        yield error(
            "duplicate-penalty",
            "/game/penalties",
            "a penalty is listed twice; list it once with a larger gamma or weight",
        )


def augmentation_fits_space(config: TrainConfig, game: Game) -> Iterator[Finding]:
    """Image augmentations move pixels."""
    augmentation, space = game.augmentation, config.space
    if augmentation.image_only and not isinstance(space, ImageSpace):
        yield error(
            "augmentation-needs-images",
            "/game/augmentation",
            f'{augmentation.kind} works on images only; set augmentation to {{"kind": "none"}}',
        )
    elif isinstance(space, ImageSpace) and space.channels < 3 and augmentation.recolors:
        yield warning(
            "color-on-grey",
            "/game/augmentation/policy",
            "grey images have neither hue nor saturation: of color, brightness and contrast alone "
            "are changed; leave color out if they mean something here",
        )


def augmentation_has_a_measure(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """An adaptive strength follows the sign of reals' logits, which must mean something."""
    if game.augmentation.needs_anchored_logits and game.boundary is None:
        yield error(
            "augmentation-needs-anchored-logits",
            "/game/augmentation/adaptive",
            f"logits of {game.objective.kind} have no zero, so their sign cannot steer the "
            "augmentation; set adaptive to false for a schedule, or use another objective",
        )
    if isinstance(game.augmentation, DiffAugment) and "cutout" in game.augmentation.policy:
        yield warning(
            "cutout-leaks",
            "/game/augmentation/policy",
            "with few images (below about 500) cut-out squares leak into the samples; look at the "
            "previews, or leave cutout out",
        )


def mates_are_judged_one_by_one(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """A penalty on the slope of one item overlooks what its batch mates add."""
    if game.minibatch_features.compares_items and game.penalties:
        yield warning(
            "penalty-on-mixed-items",
            "/game/minibatch_features",
            "the penalty holds the slope by one item, and this discriminator also looks at the "
            'others of its batch; set minibatch_features to {"kind": "none"} unless modes are lost',
        )


def labels_fit_networks(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Labels beside every layer need layers that lie in one line."""
    if game.conditioning.needs_plain_layers and not game.network.has_plain_layers:
        yield error(
            "labels-in-every-layer",
            "/game/conditioning",
            f"{game.network.kind} does not put labels before each of its layers; set network to "
            'dcgan or tiny, or conditioning to {"kind": "concatenation"}',
        )


def packs_are_whole(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """A pack is judged as one item, so all of it must be there and of one kind."""
    yield from batches_divide(config, game.pack)
    network = game.network
    if network.generator_has_batch_norm or network.discriminator_has_batch_norm:
        yield from statistics_have_items(config, game.pack)
    if game.pack > 1 and game.conditioning.needs_labels:
        yield error(
            "pack-with-labels",
            "/game/pack",
            "items of one pack would have different labels; set pack to 1 or conditioning to "
            '{"kind": "none"}',
        )


def parts_do_not_change_statistics(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Batch statistics are taken over what is computed at once."""
    network, reasons = game.network, [axis for _, axis in losses_of_batches(game)]
    if network.generator_has_batch_norm or network.discriminator_has_batch_norm:
        reasons.insert(0, "batch normalisation takes statistics of a whole batch")
    if config.optimisation.accumulate > 1 and reasons:
        yield warning(
            "statistics-of-parts",
            "/optimisation/accumulate",
            f"{'; '.join(reasons)}: of each part of it here, so the result is not that of the "
            "whole batch; do without for that",
        )


def unrolling_is_differentiable(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Looking ahead differentiates through updates of the discriminator, in float32."""
    if game.unrolling is None:
        return
    if game.penalties:
        yield error(
            "unrolling-with-penalty",
            "/game/penalties",
            "looking ahead through a gradient penalty needs derivatives of third order; set "
            "penalties to [] or unrolling to null",
        )
    if game.network.discriminator_has_spectral_norm:
        yield error(
            "unrolling-with-spectral-norm",
            "/game/network/discriminator_norm",
            "each look ahead would move the singular vectors of the discriminator itself; set "
            'discriminator_norm to "none" or unrolling to null',
        )
    if config.optimisation.precision == "bfloat16":
        yield error(
            "unrolling-needs-float32",
            "/optimisation/precision",
            'updates that are looked through are computed in float32; set precision to "float32"',
        )


def look_ahead_is_the_update(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """It takes the steps that the discriminator will take."""
    if game.unrolling is None:
        return
    if game.conditioning.classifies or game.information:
        yield error(
            "unrolling-with-heads",
            "/game/unrolling",
            "the look ahead follows the loss of real against fake, not those of classes and codes; "
            "set unrolling to null, or do without the auxiliary conditioning and information",
        )
    if game.weight_clip or game.historical_averaging:
        yield error(
            "unrolling-with-other-updates",
            "/game/unrolling",
            "the look ahead neither clips weights nor holds them near their mean; set weight_clip "
            "and historical_averaging to 0, or unrolling to null",
        )
    if not isinstance(config.optimisation.discriminator, Adam):
        yield error(
            "unrolling-needs-adam",
            "/optimisation/discriminator",
            'the look ahead follows Adam; set the kind of optimisation.discriminator to "adam"',
        )


def codes_are_recovered(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """Codes mean something only if somebody recovers them."""
    codes = game.latent.code_count
    if game.information and not codes:
        yield error(
            "information-without-codes",
            "/game/latent",
            "there are no codes to be recovered; add some, such as categorical: [10] and "
            "continuous: 2, or set information to null",
        )
    if codes and not game.information:
        yield warning(
            "codes-without-information",
            "/game/information",
            "nothing makes the generator let its codes show; set information to {}",
        )
    if game.information and game.pack > 1:
        yield error(
            "pack-with-codes",
            "/game/pack",
            "items of one pack have different codes, and only the pack is judged; set pack to 1 "
            "or information to null",
        )
    if game.information and game.replay:
        yield error(
            "replay-with-information",
            "/game/replay",
            "fakes from the pool come without their codes, which are to be recovered from them; "
            "set replay or information to null",
        )


def pairs_share_a_class(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """A real item and a fake can be compared only under one label."""
    between = any(isinstance(penalty, OneCentred) for penalty in game.penalties)
    paired = game.objective.paired or between
    if game.replay and paired and game.conditioning.needs_labels:
        yield error(
            "replay-with-pairs",
            "/game/replay",
            "fakes from the pool have other labels than the reals they are paired or mixed with; "
            'set replay to null, or conditioning to {"kind": "none"}',
        )


RULES = (
    network_fits_space,
    labels_exist,
    conditioning_has_a_place,
    output_noise_has_coordinates,
    gradients_are_per_item,
    critic_is_lipschitz,
    penalties_are_not_lazy,
    penalties_are_not_redundant,
    augmentation_fits_space,
    augmentation_has_a_measure,
    mates_are_judged_one_by_one,
    labels_fit_networks,
    packs_are_whole,
    parts_do_not_change_statistics,
    unrolling_is_differentiable,
    look_ahead_is_the_update,
    codes_are_recovered,
    pairs_share_a_class,
    turns_can_be_joined,
    slopes_can_be_rescaled,
)


def check_gan(config: TrainConfig) -> Iterator[Finding]:
    """What is wrong or doubtful with a GAN; nothing is said of other games."""
    if isinstance(config.game, Gan):
        for rule in RULES:
            yield from rule(config, config.game)
