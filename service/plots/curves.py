"""Losses, balance and diversity through the training."""

from service.plots.axes import Guide
from service.plots.panels import HeatMap, Line, Lines, Trends
from service.plots.style import (
    DISCRIMINATOR,
    FAKE,
    GENERATOR,
    GUIDE,
    HELD_OUT,
    HELD_OUT_PAIRS,
    PAIRS,
    TRAINING,
)

LOSSES = Trends(
    "Losses and gradients",
    (
        Lines(
            "loss",
            (
                Line("discriminator_loss_smooth", "discriminator", DISCRIMINATOR, smooth=True),
                Line("generator_loss_smooth", "generator", GENERATOR, smooth=True),
                Line(
                    "discriminator_loss", "discriminator, each reading", DISCRIMINATOR, faint=True
                ),
                Line("generator_loss", "generator, each reading", GENERATOR, faint=True),
            ),
            wide=True,
            inches=2.6,
        ),
        Lines(
            "gradient norm",
            (
                Line("discriminator_gradient_norm", "discriminator", DISCRIMINATOR),
                Line("generator_gradient_norm", "generator", GENERATOR),
            ),
            wide=True,
        ),
        Lines(
            "penalty",
            (Line("penalty", "discriminator's penalty", DISCRIMINATOR),),
            wide=True,
            unless_zero=True,
            inches=1.3,
        ),
    ),
)
BALANCE = Trends(
    "Balance of the two players",
    (
        Lines(
            "share judged rightly",
            (
                Line("real_accuracy", "training items", TRAINING),
                Line("held_out_accuracy", "held-out items", HELD_OUT),
                Line("fake_accuracy", "generated items", FAKE),
                Line("pair_accuracy", "pairs: training, generated", PAIRS, "--"),
                Line("held_out_pair_accuracy", "pairs: held-out, generated", HELD_OUT_PAIRS, "--"),
            ),
            guides=(Guide(0.5, "as good as a coin"),),
            from_zero=True,
            inches=2.6,
        ),
        Lines(
            "overfitting of D",
            (
                Line("overfitting_rt", "r_t: mean sign of D(training)", TRAINING),
                Line("overfitting_rv", "r_v: held-out seen as generated", HELD_OUT),
            ),
            guides=(Guide(0.0, "none"),),
            within=(-1.05, 1.55),
        ),
        Lines(
            "mean logit",
            (
                Line("real_logit", "training items", TRAINING),
                Line("fake_logit", "generated items", FAKE),
            ),
            wide=True,
        ),
    ),
)
DIVERSITY = Trends(
    "Diversity of generated items",
    (
        Lines(
            "diversity, share of reals'",
            (
                Line("diversity", "distance between items", FAKE),
                Line("diversity_within_labels", "distance within a label", PAIRS, "--"),
            ),
            guides=(Guide(1.0, "as diverse as reals"),),
            from_zero=True,
        ),
        Lines(
            "share of reals covered",
            (Line("groups_covered", "reals in groups with fakes", FAKE),),
            from_zero=True,
            inches=1.5,
        ),
        Lines(
            "histogram distance",
            (
                Line("histogram_drift", "since the reading before", GUIDE),
                Line("histogram_gap", "to the reals' histogram", FAKE),
            ),
            from_zero=True,
            inches=1.7,
        ),
        HeatMap("histogram", "group of reals", "share of fakes"),
    ),
)
