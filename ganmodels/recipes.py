"""Recipes: named, complete settings.

To add a recipe: add one entry to ``RECIPES``.
"""

import math
from collections.abc import Mapping

from pydantic import Field

from ganmodels.augmentation import Ada, DiffAugment, Shift
from ganmodels.conditioning import (
    Auxiliary,
    ClassNorm,
    Concatenation,
    EveryLayer,
    LearnedMap,
    Projection,
)
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
from ganmodels.matching import FeatureMatching
from ganmodels.minibatch_features import MinibatchDiscrimination
from ganmodels.networks import (
    R3,
    Dcgan,
    Maxout,
    Mlp,
    ResidualRefiner,
    ResidualTranslator,
    Resnet,
)
from ganmodels.objectives import (
    Hinge,
    LeastSquares,
    NonSaturating,
    RelativisticPairing,
    Wasserstein,
)
from ganmodels.optimisation import (
    Adam,
    Average,
    BurnInDecay,
    CosineDecay,
    LinearDecay,
    Optimisation,
    Sgd,
)
from ganmodels.penalties import R1, R2, Dragan, OneCentred
from ganmodels.referee.config import Referee, StopRules
from ganmodels.spaces import ImageSpace, Space
from ganmodels.spec import Spec


class Recipe(Spec):
    """Everything a training needs but the dataset and the seed."""

    summary: str = Field(max_length=300)
    papers: str = Field(max_length=300)
    game: Game
    optimisation: Optimisation
    schedule: Schedule = Schedule()
    referee: Referee = Referee()
    stop: StopRules = StopRules()


def _adam(learning_rate: float, beta1: float, beta2: float) -> Adam:
    return Adam(learning_rate=learning_rate, beta1=beta1, beta2=beta2)


_SLOW, _QUICK, _CRITIC = _adam(2e-4, 0.5, 0.999), _adam(1e-3, 0.5, 0.999), _adam(2e-4, 0.0, 0.9)
_MEDIUM, _BRISK = _adam(3e-4, 0.5, 0.999), _adam(5e-4, 0.5, 0.999)
_POINTS = _adam(5e-3, 0.5, 0.999)
# Its epsilon is what that paper's own update comes to: many gradients there are smaller.
_LABELS = Adam(learning_rate=3e-3, beta1=0.5, beta2=0.999, epsilon=1e-4)
_R3 = Adam(learning_rate=2e-4, beta1=0.0, beta2=0.9, final_beta2=0.99)
_R3_SMALL = _R3.model_copy(update={"learning_rate": 1e-3})


def _r1_and_r2(gamma: float, final_gamma: float) -> tuple[R1, R2]:
    return R1(gamma=gamma, final_gamma=final_gamma), R2(gamma=gamma, final_gamma=final_gamma)


_DIGITS_PACE = Optimisation(
    generator=_QUICK,
    discriminator=_QUICK,
    decay=LinearDecay(),
    average=Average(half_life_images=20_000),
)
_QUICK_GENERATOR_PACE = Optimisation(
    batch_size=64,
    generator=_QUICK,
    discriminator=_SLOW,
    average=Average(half_life_images=20_000),
)
_SLOW_PACE = Optimisation(batch_size=64, generator=_SLOW, discriminator=_SLOW)
_RESNET_PACE = Optimisation(
    batch_size=64,
    generator=_CRITIC,
    discriminator=_CRITIC,
    decay=LinearDecay(start=0.0, final=0.0),
)

RECIPES: Mapping[str, Recipe] = {
    "vanilla": Recipe(
        summary="Fully connected networks, told the cluster of each item in place of a label",
        papers="Goodfellow et al. 2014, arXiv:1406.2661; clusters: Liu et al. 2020, "
        "arXiv:2006.10728; penalty: Mescheder et al. 2018, arXiv:1801.04406",
        game=Gan(
            latent=Latent(gaussian=100),
            network=Mlp(
                generator_widths=(512, 512),
                discriminator_widths=(512, 256),
                generator_norm="batch",
                item_gain=0.05,
            ),
            conditioning=Concatenation(),
            labels=ClusterLabels(count=100),
            penalties=(R1(gamma=0.3, every=4),),
        ),
        optimisation=Optimisation(
            batch_size=128,
            generator=_BRISK,
            discriminator=_SLOW,
            # Perceptrons wander far, and their mean is better than each of them.
            average=Average(half_life_images=800_000),
        ),
    ),
    "vanilla-2014": Recipe(
        summary="The first GAN as it was: maxout units, dropout, plain descent; takes its time",
        papers="Goodfellow et al. 2014, arXiv:1406.2661, and its published settings for MNIST",
        game=Gan(latent=Latent(gaussian=0, uniform=100), network=Maxout(latent_scale=math.sqrt(3))),
        # Theirs halves the discriminator's loss in place of its rate.
        optimisation=Optimisation(
            batch_size=100,
            generator=Sgd(learning_rate=0.1),
            discriminator=Sgd(learning_rate=0.05),
        ),
        schedule=Schedule(steps=50_000),
    ),
    "dcgan": Recipe(
        summary="Convolutional networks, told the cluster of each item in place of a label",
        papers="Radford et al. 2015, arXiv:1511.06434; clusters: Liu et al. 2020, arXiv:2006.10728",
        game=Gan(conditioning=LearnedMap(), labels=ClusterLabels(count=50)),
        optimisation=_DIGITS_PACE,
    ),
    "cgan": Recipe(
        summary="dcgan that is told the label: the best samples wherever labels exist",
        papers="Mirza & Osindero 2014, arXiv:1411.1784; shift: Zhao et al. 2020, arXiv:2006.10738",
        game=Gan(conditioning=ClassNorm(), augmentation=Shift(pixels=1)),
        optimisation=_DIGITS_PACE,
    ),
    "lsgan": Recipe(
        summary="dcgan with least squares in place of the logistic loss",
        papers="Mao et al. 2017, arXiv:1611.04076",
        game=Gan(objective=LeastSquares()),
        optimisation=_DIGITS_PACE,
    ),
    "acgan": Recipe(
        summary="A discriminator that names the class of items; the generator is told it",
        papers="Odena et al. 2016, arXiv:1610.09585; shift: Zhao et al. 2020, arXiv:2006.10738",
        game=Gan(conditioning=Auxiliary(), augmentation=Shift(pixels=1)),
        optimisation=_DIGITS_PACE,
    ),
    "cdcgan": Recipe(
        summary="dcgan with the label beside the input of every layer of both networks",
        papers="Radford et al. 2015, arXiv:1511.06434, conditional networks for MNIST",
        game=Gan(conditioning=EveryLayer(), augmentation=Shift(pixels=1)),
        # A generator as quick as its discriminator makes one picture of each class here.
        optimisation=_DIGITS_PACE.model_copy(update={"generator": _MEDIUM}),
    ),
    "infogan": Recipe(
        summary="Codes that the discriminator recovers: one of ten kinds, two that vary smoothly",
        papers="Chen et al. 2016, arXiv:1606.03657",
        game=Gan(
            latent=Latent(gaussian=0, uniform=62, categorical=(10,), continuous=2),
            # Four times the paper's: kinds that meet in the midst of a digit are given up sooner.
            information=Information(categorical_weight=4.0),
        ),
        optimisation=_QUICK_GENERATOR_PACE,
    ),
    "wgan": Recipe(
        summary="Wasserstein critic whose weights are clipped, five turns per step",
        papers="Arjovsky et al. 2017, arXiv:1701.07875",
        game=Gan(
            network=Dcgan(discriminator_norm="none"),
            objective=Wasserstein(),
            weight_clip=0.01,
            discriminator_steps=5,
        ),
        # Ten times the paper's rate: with its own a CPU shows nothing for minutes.
        optimisation=Optimisation(
            batch_size=64, generator=_adam(5e-4, 0.0, 0.9), discriminator=_adam(5e-4, 0.0, 0.9)
        ),
    ),
    "dragan": Recipe(
        summary="dcgan whose discriminator is held smooth around the data",
        papers="Kodali et al. 2017, arXiv:1705.07215",
        game=Gan(network=Dcgan(discriminator_norm="none"), penalties=(Dragan(),)),
        optimisation=_SLOW_PACE,
    ),
    "unrolled": Recipe(
        summary="A generator that looks five updates of its discriminator ahead",
        papers="Metz et al. 2017, arXiv:1611.02163",
        game=Gan(network=Dcgan(discriminator_norm="none"), unrolling=Unrolling(steps=5)),
        optimisation=Optimisation(batch_size=32, generator=_QUICK, discriminator=_QUICK),
    ),
    "pacgan": Recipe(
        summary="dcgan whose discriminator judges two items at a time, against lost modes",
        papers="Lin et al. 2017, arXiv:1712.04086",
        game=Gan(pack=2, generator_steps=2),
        optimisation=_SLOW_PACE,
    ),
    "improved-gan": Recipe(
        summary="dcgan with smoothed labels, minibatch discrimination and virtual normalisation",
        papers="Salimans et al. 2016, arXiv:1606.03498, as its best model, on smaller networks",
        game=Gan(
            network=Dcgan(generator_norm="virtual"),
            objective=NonSaturating(real_target=0.9),
            minibatch_features=MinibatchDiscrimination(),
        ),
        optimisation=_QUICK_GENERATOR_PACE,
    ),
    "feature-matching": Recipe(
        summary="A generator that imitates the mean features of reals in its discriminator",
        papers="Salimans et al. 2016, arXiv:1606.03498, section 3.1",
        game=Gan(network=Dcgan(discriminator_norm="none"), feature_matching=FeatureMatching()),
        optimisation=_QUICK_GENERATOR_PACE,
    ),
    "ada": Recipe(
        summary="cgan for a few hundred images: augmented the more, the surer the discriminator is",
        papers="Karras et al. 2020, arXiv:2006.06676",
        game=Gan(conditioning=ClassNorm(), augmentation=Ada(adjust_images=100_000)),
        optimisation=_DIGITS_PACE,
    ),
    "diffaugment": Recipe(
        summary="cgan for a few hundred images: all are shifted and recoloured before D sees them",
        papers="Zhao et al. 2020, arXiv:2006.10738",
        game=Gan(conditioning=ClassNorm(), augmentation=DiffAugment()),
        optimisation=_DIGITS_PACE,
    ),
    "cgan-pd": Recipe(
        summary="sngan with labels: class-conditional normalisation in G, projection in D",
        papers="Miyato & Koyama 2018, arXiv:1802.05637",
        game=Gan(
            network=Resnet(generator_width=32, discriminator_width=32),
            conditioning=Projection(),
            objective=Hinge(),
            discriminator_steps=5,
        ),
        optimisation=_RESNET_PACE,
    ),
    "wgan-gp": Recipe(
        summary="Wasserstein critic with the one-centred gradient penalty, five turns per step",
        papers="Gulrajani et al. 2017, arXiv:1704.00028",
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
        papers="Miyato et al. 2018, arXiv:1802.05957",
        game=Gan(
            network=Resnet(generator_width=32, discriminator_width=32),
            objective=Hinge(),
            discriminator_steps=5,
        ),
        optimisation=_RESNET_PACE,
    ),
    "r3gan": Recipe(
        summary="Relativistic pairing, R1 and R2, no normalisation; up to 32 pixels, for GPUs",
        papers="Huang et al. 2024, arXiv:2501.05441, table 9 for CIFAR-10, without labels",
        game=Gan(
            network=R3(widths=(768,)),
            objective=RelativisticPairing(),
            penalties=_r1_and_r2(0.05, 0.005),
            augmentation=Ada(adaptive=False, final=0.55),
        ),
        optimisation=Optimisation(
            batch_size=512,
            accumulate=8,
            generator=_R3,
            discriminator=_R3,
            decay=BurnInDecay(final=0.25),
            average=Average(half_life_images=5_000_000),
            burn_in_images=20_000_000,
        ),
        schedule=Schedule(steps=488_000),
    ),
    "r3gan-stacked-mnist": Recipe(
        summary="r3gan for the 1,000 modes of Stacked MNIST: narrower, 10 million images; for GPUs",
        papers="Huang et al. 2024, arXiv:2501.05441, table 9 for Stacked MNIST; widths are ours",
        game=Gan(
            network=R3(widths=(192, 128, 64)),
            objective=RelativisticPairing(),
            penalties=_r1_and_r2(1.0, 0.1),
        ),
        optimisation=Optimisation(
            batch_size=512,
            generator=_R3,
            discriminator=_R3,
            average=Average(half_life_images=500_000),
            burn_in_images=2_000_000,
        ),
        schedule=Schedule(steps=19_500),
    ),
    "r3gan-small": Recipe(
        summary="r3gan with networks and schedules for a CPU and images of about 28 pixels",
        papers="Huang et al. 2024, arXiv:2501.05441; widths, rates and schedules measured here",
        game=Gan(
            network=R3(widths=(64, 32, 16), blocks_per_grid=1),
            objective=RelativisticPairing(),
            penalties=_r1_and_r2(1.0, 0.3),
        ),
        optimisation=Optimisation(
            batch_size=32,
            generator=_R3_SMALL,
            discriminator=_R3_SMALL,
            decay=BurnInDecay(final=0.25),
            average=Average(half_life_images=10_000),
            burn_in_images=30_000,
        ),
    ),
    "simgan": Recipe(
        summary="Makes simulated images look real and keeps what they show: their labels hold",
        papers="Shrivastava et al. 2016, arXiv:1612.07828; Adam in place of its plain descent",
        game=Refiner(
            network=ResidualRefiner(width=16, discriminator_width=48),
            self_regularisation=10.0,
            regularised_window=5,
            generator_steps=1,
            # It copies from the start.
            generator_warm_up=0,
            discriminator_warm_up=100,
        ),
        optimisation=Optimisation(
            batch_size=16,
            generator=_BRISK,
            discriminator=_BRISK,
            average=Average(half_life_images=10_000),
        ),
        schedule=Schedule(steps=1_500),
    ),
    "cyclegan": Recipe(
        summary="Translates images of one dataset into the style of another and back, unpaired",
        papers="Zhu et al. 2017, arXiv:1703.10593; fewer channels and blocks, larger batches",
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
        papers="Salimans et al. 2016, arXiv:1606.03498; decay and averages measured here",
        game=SemiSupervised(),
        optimisation=Optimisation(
            batch_size=100,
            generator=_LABELS,
            discriminator=_LABELS,
            decay=LinearDecay(start=0.3, final=0.02),
            average=Average(half_life_images=60_000),
            discriminator_average=Average(half_life_images=60_000),
        ),
        # What samples are like says nothing of the classifier, and the measures learn
        # from labels that this game must not see: the last one becomes the version.
        referee=Referee(evaluate_every=0),
    ),
    "points": Recipe(
        summary="Small perceptrons, told the cluster of each point, for a few dimensions",
        papers="Huang et al. 2024, arXiv:2501.05441 (objective); clusters: Liu et al. 2020, "
        "arXiv:2006.10728; the rest measured here",
        game=Gan(
            latent=Latent(gaussian=6),
            network=Mlp(
                generator_widths=(128, 128, 128),
                discriminator_widths=(64, 64, 64),
                output_noise=True,
                discriminator_bias=1.4,
            ),
            conditioning=Concatenation(),
            labels=ClusterLabels(count=25),
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
        schedule=Schedule(steps=8_000, checkpoints_every=2_000),
    ),
}


def choose(space: Space, has_source: bool = False) -> str:
    """The name of a sensible recipe for a space, and for a source that is to be translated."""
    if has_source:
        return "cyclegan"
    if not isinstance(space, ImageSpace):
        return "points"
    return "cgan" if space.classes else "dcgan"
