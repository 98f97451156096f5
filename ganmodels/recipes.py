"""Recipes: named, complete settings, and how a request changes one.

To add a recipe: add one entry to ``RECIPES``.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ganmodels.augmentation import Shift
from ganmodels.conditioning import Auxiliary, ClassNorm, EveryLayer, LearnedMap, Projection
from ganmodels.config import Schedule
from ganmodels.games import Game
from ganmodels.games.gan import Gan
from ganmodels.games.refiner import Refiner
from ganmodels.games.semi_supervised import SemiSupervised
from ganmodels.games.translator import Translator
from ganmodels.games.unrolling import Unrolling
from ganmodels.information import Information
from ganmodels.labels import ClusterLabels
from ganmodels.latents import Latent
from ganmodels.networks import Dcgan, Mlp, ResidualRefiner, ResidualTranslator, Resnet
from ganmodels.objectives import (
    Hinge,
    LeastSquares,
    RelativisticPairing,
    Wasserstein,
)
from ganmodels.optimisation import Adam, Average, CosineDecay, LinearDecay, Optimisation
from ganmodels.penalties import R1, R2, Dragan, OneCentred
from ganmodels.referee.config import Referee, StopRules
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec

Json = dict[str, Any]


class Recipe(Spec):
    """Everything a training needs but the dataset and the seed."""

    summary: str = Field(max_length=300)
    source: str = Field(max_length=300)
    game: Game
    optimisation: Optimisation
    schedule: Schedule = Schedule()
    referee: Referee = Referee()
    stop: StopRules = StopRules()


def _adam(learning_rate: float, beta1: float, beta2: float) -> Adam:
    return Adam(learning_rate=learning_rate, beta1=beta1, beta2=beta2)


_SLOW, _QUICK, _CRITIC = _adam(2e-4, 0.5, 0.999), _adam(1e-3, 0.5, 0.999), _adam(2e-4, 0.0, 0.9)
_NORM_FREE, _POINTS = _adam(5e-4, 0.0, 0.99), _adam(5e-3, 0.5, 0.999)
_LABELS = _adam(3e-3, 0.5, 0.999)

_DIGITS_PACE = Optimisation(
    generator=_QUICK,
    discriminator=_QUICK,
    decay=LinearDecay(),
    average=Average(half_life_images=20_000),
)

ITEMS_PER_CLUSTER = 20

RECIPES: Mapping[str, Recipe] = {
    "vanilla": Recipe(
        summary="Fully connected networks in the shape of the first GAN, non-saturating loss",
        source="Goodfellow et al. 2014, arXiv:1406.2661",
        game=Gan(
            latent=Latent(gaussian=100),
            network=Mlp(generator_widths=(1200, 1200), discriminator_widths=(240, 240)),
        ),
        optimisation=Optimisation(batch_size=128, generator=_SLOW, discriminator=_SLOW),
    ),
    "dcgan": Recipe(
        summary="Convolutional networks, told the cluster of each item in place of a label",
        source="Radford et al. 2015, arXiv:1511.06434; clusters: Liu et al. 2020, arXiv:2006.10728",
        game=Gan(conditioning=LearnedMap(), labels=ClusterLabels(count=50)),
        optimisation=_DIGITS_PACE,
    ),
    "cgan": Recipe(
        summary="dcgan that is told the label: the best samples wherever labels exist",
        source="Mirza & Osindero 2014, arXiv:1411.1784; shift: Zhao et al. 2020, arXiv:2006.10738",
        game=Gan(conditioning=ClassNorm(), augmentation=Shift(pixels=1)),
        optimisation=_DIGITS_PACE,
    ),
    "lsgan": Recipe(
        summary="dcgan with least squares in place of the logistic loss",
        source="Mao et al. 2017, arXiv:1611.04076",
        game=Gan(objective=LeastSquares()),
        optimisation=_DIGITS_PACE,
    ),
    "acgan": Recipe(
        summary="A discriminator that names the class of items; the generator is told it",
        source="Odena et al. 2016, arXiv:1610.09585; shift: Zhao et al. 2020, arXiv:2006.10738",
        game=Gan(conditioning=Auxiliary(), augmentation=Shift(pixels=1)),
        optimisation=_DIGITS_PACE,
    ),
    "cdcgan": Recipe(
        summary="dcgan with the label beside the input of every layer of both networks",
        source="Radford et al. 2015, arXiv:1511.06434, conditional networks for MNIST",
        game=Gan(conditioning=EveryLayer(), augmentation=Shift(pixels=1)),
        optimisation=_DIGITS_PACE,
    ),
    "infogan": Recipe(
        summary="Codes that the discriminator recovers: one of ten kinds, two that vary smoothly",
        source="Chen et al. 2016, arXiv:1606.03657",
        game=Gan(
            latent=Latent(gaussian=0, uniform=62, categorical=(10,), continuous=2),
            information=Information(),
        ),
        optimisation=Optimisation(
            batch_size=64,
            generator=_QUICK,
            discriminator=_SLOW,
            average=Average(half_life_images=20_000),
        ),
    ),
    "wgan": Recipe(
        summary="Wasserstein critic whose weights are clipped, five turns per step",
        source="Arjovsky et al. 2017, arXiv:1701.07875",
        game=Gan(
            network=Dcgan(discriminator_norm="none"),
            objective=Wasserstein(),
            weight_clip=0.01,
            discriminator_steps=5,
        ),
        optimisation=Optimisation(
            batch_size=64, generator=_adam(5e-5, 0.0, 0.9), discriminator=_adam(5e-5, 0.0, 0.9)
        ),
    ),
    "dragan": Recipe(
        summary="dcgan whose discriminator is held smooth around the data",
        source="Kodali et al. 2017, arXiv:1705.07215",
        game=Gan(network=Dcgan(discriminator_norm="none"), penalties=(Dragan(),)),
        optimisation=Optimisation(batch_size=64, generator=_SLOW, discriminator=_SLOW),
    ),
    "unrolled": Recipe(
        summary="A generator that looks five updates of its discriminator ahead",
        source="Metz et al. 2017, arXiv:1611.02163",
        game=Gan(network=Dcgan(discriminator_norm="none"), unrolling=Unrolling(steps=5)),
        optimisation=Optimisation(batch_size=32, generator=_SLOW, discriminator=_SLOW),
    ),
    "pacgan": Recipe(
        summary="dcgan whose discriminator judges two items at a time, against lost modes",
        source="Lin et al. 2017, arXiv:1712.04086",
        game=Gan(pack=2, generator_steps=2),
        optimisation=Optimisation(batch_size=64, generator=_SLOW, discriminator=_SLOW),
    ),
    "cgan-pd": Recipe(
        summary="sngan with labels: class-conditional normalisation in G, projection in D",
        source="Miyato & Koyama 2018, arXiv:1802.05637",
        game=Gan(
            network=Resnet(generator_width=32, discriminator_width=32),
            conditioning=Projection(),
            objective=Hinge(),
            discriminator_steps=5,
        ),
        optimisation=Optimisation(
            batch_size=64,
            generator=_CRITIC,
            discriminator=_CRITIC,
            decay=LinearDecay(start=0.0, final=0.0),
        ),
    ),
    "wgan-gp": Recipe(
        summary="Wasserstein critic with the one-centred gradient penalty, five turns per step",
        source="Gulrajani et al. 2017, arXiv:1704.00028",
        game=Gan(
            network=Dcgan(discriminator_norm="none"),
            objective=Wasserstein(),
            penalties=(OneCentred(weight=10.0),),
            discriminator_steps=5,
        ),
        optimisation=Optimisation(batch_size=64, generator=_CRITIC, discriminator=_CRITIC),
    ),
    "sngan": Recipe(
        summary="Residual networks, spectral normalisation, hinge loss, five turns of D per step",
        source="Miyato et al. 2018, arXiv:1802.05957",
        game=Gan(
            network=Resnet(generator_width=32, discriminator_width=32),
            objective=Hinge(),
            discriminator_steps=5,
        ),
        optimisation=Optimisation(
            batch_size=64,
            generator=_CRITIC,
            discriminator=_CRITIC,
            decay=LinearDecay(start=0.0, final=0.0),
        ),
    ),
    "r3gan-small": Recipe(
        summary="Relativistic pairing with R1 and R2 on residual networks without normalisation",
        source="Huang et al. 2024, arXiv:2501.05441; a small stand-in for its network",
        game=Gan(
            network=Resnet(
                generator_width=32,
                discriminator_width=32,
                generator_norm="none",
                discriminator_norm="none",
            ),
            objective=RelativisticPairing(),
            penalties=(R1(gamma=1.0), R2(gamma=1.0)),
        ),
        optimisation=Optimisation(
            batch_size=64,
            generator=_NORM_FREE,
            discriminator=_NORM_FREE,
            average=Average(half_life_images=20_000),
        ),
    ),
    "simgan": Recipe(
        summary="Makes simulated images look real and keeps what they show: their labels hold",
        source="Shrivastava et al. 2016, arXiv:1612.07828; Adam in place of its plain descent",
        game=Refiner(
            network=ResidualRefiner(width=32, discriminator_width=48),
            generator_warm_up=200,
            discriminator_warm_up=100,
        ),
        optimisation=Optimisation(
            batch_size=32,
            generator=_SLOW,
            discriminator=_SLOW,
            average=Average(half_life_images=10_000),
        ),
        schedule=Schedule(steps=5_000),
    ),
    "cyclegan": Recipe(
        summary="Translates images of one dataset into the style of another and back, unpaired",
        source="Zhu et al. 2017, arXiv:1703.10593; fewer channels and blocks, larger batches",
        game=Translator(network=ResidualTranslator(generator_width=16, blocks=3)),
        optimisation=Optimisation(
            batch_size=8,
            generator=_SLOW,
            discriminator=_SLOW,
            decay=LinearDecay(start=0.5, final=0.0),
            average=Average(half_life_images=10_000),
        ),
        schedule=Schedule(steps=5_000),
    ),
    "semi-supervised": Recipe(
        summary="A classifier from a few labels of each class, taught by fakes and by all the rest",
        source="Salimans et al. 2016, arXiv:1606.03498; decay and averages measured here",
        game=SemiSupervised(),
        optimisation=Optimisation(
            batch_size=100,
            generator=_LABELS,
            discriminator=_LABELS,
            decay=LinearDecay(start=0.3, final=0.02),
            average=Average(half_life_images=60_000),
            discriminator_average=Average(half_life_images=60_000),
        ),
    ),
    "points": Recipe(
        summary="Small perceptrons with noise of their own for points in a few dimensions",
        source="Huang et al. 2024, arXiv:2501.05441 (objective); the rest measured here",
        game=Gan(
            latent=Latent(gaussian=6, signs=4),
            network=Mlp(
                generator_widths=(128, 128, 128),
                discriminator_widths=(64, 64, 64),
                output_noise=True,
                discriminator_bias=1.4,
            ),
            objective=RelativisticPairing(),
            penalties=(R1(gamma=0.02), R2(gamma=0.02)),
        ),
        optimisation=Optimisation(
            batch_size=64,
            generator=_POINTS,
            discriminator=_POINTS,
            decay=CosineDecay(),
            average=Average(half_life_images=12_800),
        ),
        schedule=Schedule(steps=10_000, checkpoints_every=2_000),
    ),
}


def choose(space: Space, has_source: bool = False) -> str:
    """The name of a sensible recipe for a space, and for a source that is to be translated."""
    if has_source:
        return "cyclegan"
    if not isinstance(space, ImageSpace):
        return "points"
    return "cgan" if space.classes else "dcgan"


def settings(recipe: str, changes: Json, items: int) -> Json:
    """A recipe with a request's changes: all of a ``TrainConfig`` but the dataset, as JSON.

    ``recipe`` is a key of ``RECIPES``; what it sets too high for ``items`` training items is
    lowered first. ``changes`` is a JSON merge patch (RFC 7396) with two additions: an object
    whose ``kind`` differs from the recipe's replaces it whole, and the shortcuts ``steps``,
    ``batch_size`` and ``learning_rate`` stand for what everyone sets.
    """
    base = fit_to_items(RECIPES[recipe], items)
    json = base.model_dump(mode="json", exclude={"summary", "source"})
    merged: Json = merge_patch(json, expand_shortcuts(changes))
    return merged


def fit_to_items(recipe: Recipe, items: int) -> Recipe:
    """The recipe for a small dataset: batches that it can fill, clusters of 20 items or more."""
    game, optimisation = recipe.game, recipe.optimisation
    batch_size = max(2, min(optimisation.batch_size, items))
    if isinstance(game, Gan) and isinstance(game.labels, ClusterLabels):
        count = max(2, min(game.labels.count, items // ITEMS_PER_CLUSTER))
        game = game.model_copy(update={"labels": ClusterLabels(count=count)})
    optimisation = optimisation.model_copy(update={"batch_size": batch_size})
    return recipe.model_copy(update={"game": game, "optimisation": optimisation})


def expand_shortcuts(changes: Json) -> Json:
    """Changes with the shortcuts written out; a field that is named in full wins."""
    rest = dict(changes)
    shortcuts: Json = {}
    if "steps" in rest:
        shortcuts["schedule"] = {"steps": rest.pop("steps")}
    if "batch_size" in rest:
        shortcuts["optimisation"] = {"batch_size": rest.pop("batch_size")}
    if "learning_rate" in rest:
        rate = {"learning_rate": rest.pop("learning_rate")}
        shortcuts.setdefault("optimisation", {}).update(generator=rate, discriminator=dict(rate))
    expanded: Json = merge_patch(shortcuts, rest, keep_nulls=True)
    return expanded


def merge_patch(base: Any, patch: Any, keep_nulls: bool = False) -> Any:
    """RFC 7396, but an object of another ``kind`` is replaced, not merged.

    With ``keep_nulls`` the base is itself a patch, and the result does what one does after the
    other.
    """
    if not isinstance(patch, dict):
        return patch
    other_kind = isinstance(base, dict) and patch.get("kind", base.get("kind")) != base.get("kind")
    merged = dict(base) if isinstance(base, dict) and not other_kind else {}
    for key, value in patch.items():
        if value is None and not keep_nulls:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value, keep_nulls)
    return merged
