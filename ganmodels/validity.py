"""What the types cannot say: combinations that do not train, each with its reason and remedy.

To add a rule: write a function from a configuration to findings and add it to ``RULES``.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from ganmodels.config import TrainConfig
from ganmodels.networks import Mlp
from ganmodels.networks.blocks import LARGEST_EDGE, SMALLEST_EDGE
from ganmodels.penalties import OneCentred
from ganmodels.referee.stopping import FEWEST_JUDGED
from ganmodels.spaces import ImageSpace


class Finding(NamedTuple):
    """One thing wrong (``error``) or doubtful (``warning``) with a configuration.

    ``pointer`` is a JSON pointer into the configuration.
    """

    severity: Literal["error", "warning"]
    code: str
    pointer: str
    detail: str


class InvalidConfig(Exception):  # noqa: N818 - a statement about the value, as in ValueError
    """A configuration that would not train; ``findings`` says why and what to change."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(finding.detail for finding in findings))
        self.findings = findings


def check(config: TrainConfig) -> list[Finding]:
    """The warnings on a configuration.

    Raises:
        InvalidConfig: if any finding is an error.
    """
    findings = [finding for rule in RULES for finding in rule(config)]
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise InvalidConfig(errors)
    return findings


def network_fits_space(config: TrainConfig) -> Iterator[Finding]:
    """Convolutional networks need images from 8 to 128 pixels."""
    network, space = config.game.network, config.space
    if not network.image_only:
        return
    if not isinstance(space, ImageSpace):
        yield Finding(
            "error",
            "network-needs-images",
            "/game/network",
            f"{network.kind} works on images, but the dataset holds {space.kind}; use mlp",
        )
        return
    edges = (space.height, space.width)
    if min(edges) < SMALLEST_EDGE or max(edges) > LARGEST_EDGE:
        yield Finding(
            "error",
            "image-size-unsupported",
            "/game/network",
            f"{network.kind} takes images of {SMALLEST_EDGE} to {LARGEST_EDGE} pixels a side, the "
            f"dataset's are {space.height}x{space.width}; import it again with another size",
        )


def labels_exist(config: TrainConfig) -> Iterator[Finding]:
    """Conditioning needs labels, and labels need conditioning."""
    game = config.game
    if game.conditioning.needs_labels and game.labels.classes(config.space) == 0:
        yield Finding(
            "error",
            "dataset-unlabelled",
            "/game/conditioning",
            "this conditioning needs labels, and the dataset has none; import it with labels, set "
            'labels to {"kind": "clusters"} or conditioning to {"kind": "none"}',
        )
    if not (game.conditioning.needs_labels or game.labels.given):
        yield Finding(
            "error",
            "labels-unused",
            "/game/labels",
            "clusters are found for conditioning, and this game has none; set conditioning to "
            '{"kind": "learned_map"} or labels to {"kind": "given"}',
        )


def conditioning_has_a_place(config: TrainConfig) -> Iterator[Finding]:
    """Class-conditional batch normalisation needs batch normalisation in the generator."""
    game = config.game
    if game.conditioning.needs_generator_norm and not game.network.generator_has_batch_norm:
        yield Finding(
            "error",
            "class-norm-needs-batch-norm",
            "/game/conditioning",
            "this conditioning tells the generator its class through batch normalisation, and this "
            'generator has none; set generator_norm to "batch" or conditioning to '
            '{"kind": "concatenation"}',
        )


def output_noise_has_coordinates(config: TrainConfig) -> Iterator[Finding]:
    """Noise on the items is taken from the latent's normal coordinates, and some must remain."""
    game = config.game
    if not isinstance(game.network, Mlp):
        return
    needed, latent = game.network.noise_width(config.space), game.latent
    if latent.gaussian < needed or (needed and latent.width == needed):
        yield Finding(
            "error",
            "output-noise-needs-latent",
            "/game/latent/gaussian",
            f"output_noise takes {needed} normal coordinates of the latent, one for each value of "
            f"an item, and leaves the others to the layers; the latent has {latent.gaussian} of "
            f"{latent.width} in all: set gaussian to {needed + 1} or output_noise to false",
        )


def gradients_are_per_item(config: TrainConfig) -> Iterator[Finding]:
    """Batch normalisation in D mixes items, so no gradient or pair belongs to one item."""
    game = config.game
    if not game.network.discriminator_has_batch_norm:
        return
    reasons = [f"the {penalty.kind} penalty" for penalty in game.penalties]
    reasons += ["relativistic pairing"] if game.objective.paired else []
    if reasons:
        yield Finding(
            "error",
            "batch-norm-in-discriminator",
            "/game/network/discriminator_norm",
            f"{' and '.join(reasons)} needs a logit that depends on one item alone, and batch "
            'normalisation mixes the batch; set discriminator_norm to "none" or "spectral"',
        )


def critic_is_lipschitz(config: TrainConfig) -> Iterator[Finding]:
    """The Wasserstein estimate is meaningless for an unbounded slope."""
    game = config.game
    held = game.network.discriminator_has_spectral_norm
    held = held or any(penalty.keeps_lipschitz for penalty in game.penalties)
    if game.objective.needs_lipschitz and not held:
        yield Finding(
            "error",
            "wasserstein-without-lipschitz",
            "/game/penalties",
            "the wasserstein objective diverges unless the discriminator's slope is held; add "
            '{"kind": "one_centred"} to penalties or set discriminator_norm to "spectral"',
        )


def penalties_are_not_lazy(config: TrainConfig) -> Iterator[Finding]:
    """Lazy R1/R2 fails with relativistic pairing. Source: Huang et al. 2024, appendix E."""
    lazy = [i for i, penalty in enumerate(config.game.penalties) if penalty.every > 1]
    if not (config.game.objective.paired and lazy):
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


def penalties_are_not_redundant(config: TrainConfig) -> Iterator[Finding]:
    """Two holds on the same slope cost time and gain nothing."""
    game = config.game
    if game.network.discriminator_has_spectral_norm and any(
        isinstance(penalty, OneCentred) for penalty in game.penalties
    ):
        yield Finding(
            "warning",
            "redundant-penalty",
            "/game/penalties",
            "spectral normalisation already bounds the slope; the one-centred penalty is slow and "
            "adds little",
        )
    kinds = [penalty.kind for penalty in game.penalties]
    if len(set(kinds)) < len(kinds):
        yield Finding(
            "error",
            "duplicate-penalty",
            "/game/penalties",
            "a penalty is listed twice; list it once with a larger gamma or weight",
        )


def augmentation_fits_space(config: TrainConfig) -> Iterator[Finding]:
    """Image augmentations move pixels."""
    augmentation, space = config.game.augmentation, config.space
    if augmentation.image_only and not isinstance(space, ImageSpace):
        yield Finding(
            "error",
            "augmentation-needs-images",
            "/game/augmentation",
            f'{augmentation.kind} works on images only; set augmentation to {{"kind": "none"}}',
        )


def precision_fits_penalties(config: TrainConfig) -> Iterator[Finding]:
    """Second-order penalties run in float32."""
    if config.optimisation.precision == "bfloat16" and config.game.penalties:
        yield Finding(
            "error",
            "penalty-needs-float32",
            "/optimisation/precision",
            'second-order penalties are computed in float32; set precision to "automatic" or '
            '"float32"',
        )


def referee_can_measure(config: TrainConfig) -> Iterator[Finding]:
    """What the referee is asked to measure on the way can be measured, and says what is best."""
    referee, stop = config.referee, config.stop
    measures = referee.protocol.measures
    if not referee.evaluate_every:
        return
    if detail := referee.protocol.impossible_on(config.space):
        yield Finding("error", "evaluation-impossible", "/referee/protocol/features", detail)
    if referee.best_by not in measures:
        yield Finding(
            "warning",
            "best-not-measured",
            "/referee/best_by",
            f"no checkpoint is chosen as the best: {referee.best_by} is not among the measures of "
            "the protocol",
        )
    if stop.plateau and stop.plateau.measure not in measures:
        yield _not_measured("plateau/measure", stop.plateau.measure)
    if stop.equilibrium and "critic" not in measures:
        yield _not_measured("equilibrium", "critic")
    if stop.equilibrium and referee.protocol.samples < FEWEST_JUDGED:
        yield Finding(
            "warning",
            "stop-never-reached",
            "/referee/protocol/samples",
            f"equilibrium needs critics that judge {FEWEST_JUDGED} items; ask for as many samples",
        )


def stop_rules_have_evaluations(config: TrainConfig) -> Iterator[Finding]:
    """Plateau and equilibrium look at evaluations, so there must be enough of them."""
    stop, every = config.stop, config.referee.evaluate_every
    rules = [rule for rule in (stop.plateau, stop.equilibrium) if rule]
    if rules and not every:
        yield Finding(
            "error",
            "stop-without-evaluations",
            "/referee/evaluate_every",
            "plateau and equilibrium look at evaluations, and none are made; set evaluate_every",
        )
    elif rules and config.schedule.steps <= every * min(rule.patience for rule in rules):
        yield Finding(
            "warning",
            "stop-never-reached",
            "/referee/evaluate_every",
            f"with an evaluation every {every} steps the stop rules cannot be met before step "
            f"{config.schedule.steps}; lower evaluate_every or patience",
        )


def _not_measured(pointer: str, measure: str) -> Finding:
    return Finding(
        "error",
        "stop-not-measured",
        f"/stop/{pointer}",
        f"{measure} is not among the measures of referee.protocol; add it there",
    )


RULES: tuple[Callable[[TrainConfig], Iterator[Finding]], ...] = (
    network_fits_space,
    labels_exist,
    conditioning_has_a_place,
    output_noise_has_coordinates,
    gradients_are_per_item,
    critic_is_lipschitz,
    penalties_are_not_lazy,
    penalties_are_not_redundant,
    augmentation_fits_space,
    precision_fits_penalties,
    referee_can_measure,
    stop_rules_have_evaluations,
)
