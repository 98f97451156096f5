"""Every rule refuses what it should, says why and how to mend it, and lets the mended through."""

import pytest

from ganmodels.recipes import RECIPES
from ganmodels.spaces import PointSpace
from ganmodels.validity import InvalidConfig, check
from tests.ganmodels.builders import config_for, image_space

UNLABELLED = image_space(classes=0)
POINTS = PointSpace(dimensions=2)
BLIT = {"kind": "ada", "adaptive": False, "policy": ["blit"]}
R1_EVERY_4 = {"kind": "r1", "gamma": 1.0, "every": 4}
RELATIVISTIC = {"kind": "relativistic_pairing"}
SGD = {"kind": "sgd", "learning_rate": 0.1}
BFLOAT16 = {"precision": "bfloat16"}
SIMULTANEOUS, RESCALED = ({"exchange": {"kind": kind}} for kind in ("simultaneous", "rescaled"))
LABELLED = {"conditioning": {"kind": "concatenation"}}
EVERY_LAYER = {"kind": "every_layer"}
PLAIN = {"conditioning": {"kind": "none"}, "labels": {"kind": "given"}}
NORM_FREE = {"network": {"generator_norm": "none", "discriminator_norm": "none"}}


def refusals(recipe, space=None, **changes):
    with pytest.raises(InvalidConfig) as caught:
        check(config_for(recipe, space, **changes))
    findings = caught.value.findings
    assert all(f.pointer.startswith("/") and len(f.detail) > 40 for f in findings)
    return {finding.code for finding in findings}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_passes_without_a_warning(recipe):
    assert check(config_for(recipe, None if recipe == "points" else image_space(channels=3))) == []


@pytest.mark.parametrize(
    ("code", "recipe", "space", "changes"),
    [
        ("network-needs-images", "dcgan", POINTS, {}),
        ("image-size-unsupported", "dcgan", image_space(7, 8), {}),
        ("image-size-unsupported", "sngan", image_space(8, 129), {}),
        ("dataset-unlabelled", "cgan", UNLABELLED, {}),
        ("labels-unused", "dcgan", None, {"game": {"conditioning": {"kind": "none"}}}),
        (
            "class-norm-needs-batch-norm",
            "vanilla",
            None,
            {
                "game": {
                    "conditioning": {"kind": "projection"},
                    "network": {"generator_norm": "none"},
                }
            },
        ),
        (
            "class-norm-needs-batch-norm",
            "cgan",
            None,
            {"game": {"network": {"generator_norm": "virtual"}}},
        ),
        (
            "class-norm-needs-batch-norm",
            "r3gan-small",
            None,
            {"game": {"conditioning": {"kind": "class_norm"}}},
        ),
        (
            "output-noise-needs-latent",
            "points",
            None,
            {"game": {"latent": {"gaussian": 1}, "network": {"output_noise": True}}},
        ),
        (
            "output-noise-needs-latent",
            "points",
            None,
            {"game": {"latent": {"gaussian": 2, "signs": 0}, "network": {"output_noise": True}}},
        ),
        ("batch-norm-in-discriminator", "dcgan", None, {"game": {"penalties": [{"kind": "r1"}]}}),
        ("batch-norm-in-discriminator", "dcgan", None, {"game": {"objective": RELATIVISTIC}}),
        (
            "batch-norm-in-discriminator",
            "dcgan",
            None,
            {"game": {"penalties": [{"kind": "one_centred"}]}},
        ),
        ("wasserstein-without-lipschitz", "wgan", None, {"game": {"weight_clip": 0.0}}),
        ("batch-norm-in-discriminator", "dcgan", None, {"game": {"unrolling": {"steps": 2}}}),
        ("unrolling-with-penalty", "dragan", None, {"game": {"unrolling": {"steps": 2}}}),
        ("unrolling-with-spectral-norm", "sngan", None, {"game": {"unrolling": {"steps": 2}}}),
        ("unrolling-needs-adam", "unrolled", None, {"optimisation": {"discriminator": SGD}}),
        ("unrolling-needs-float32", "unrolled", None, {"optimisation": BFLOAT16}),
        ("information-without-codes", "lsgan", None, {"game": {"information": {}}}),
        ("replay-with-information", "infogan", None, {"game": {"replay": {"size": 8}}}),
        ("replay-with-pairs", "r3gan-small", None, {"game": {**LABELLED, "replay": {"size": 8}}}),
        ("part-too-small", "lsgan", None, {"optimisation": {"accumulate": 8}}),
        ("part-too-small", "semi-supervised", None, {"optimisation": {"accumulate": 8}}),
        ("batch-not-divisible", "semi-supervised", None, {"optimisation": {"accumulate": 3}}),
        (
            "output-noise-needs-latent",
            "semi-supervised",
            None,
            {"game": {"network": {"kind": "mlp", "output_noise": True}, "latent": {"gaussian": 8}}},
        ),
        (
            "augmentation-cannot-vary",
            "semi-supervised",
            None,
            {"game": {"augmentation": {"kind": "ada"}}},
        ),
        (
            "unrolling-with-heads",
            "unrolled",
            None,
            {"game": {"conditioning": {"kind": "auxiliary"}}},
        ),
        ("shift-too-far", "cgan", None, {"game": {"augmentation": {"kind": "shift", "pixels": 4}}}),
        (
            "part-too-small",
            "simgan",
            None,
            {"optimisation": {"batch_size": 4, "accumulate": 4}},
        ),
        (
            "shift-too-far",
            "semi-supervised",
            None,
            {"game": {"augmentation": {"kind": "shift", "pixels": 8}}},
        ),
        (
            "unrolling-with-other-updates",
            "unrolled",
            None,
            {"game": {"weight_clip": 0.01}},
        ),
        (
            "unrolling-with-other-updates",
            "unrolled",
            None,
            {"game": {"historical_averaging": 1.0}},
        ),
        ("labels-in-every-layer", "vanilla", None, {"game": {"conditioning": EVERY_LAYER}}),
        ("exchange-needs-one-turn", "pacgan", None, {"game": SIMULTANEOUS}),
        ("exchange-needs-one-turn", "unrolled", None, {"game": SIMULTANEOUS}),
        ("exchange-cannot-rescale", "dcgan", None, {"game": RESCALED}),
        ("exchange-cannot-rescale", "r3gan-small", None, {"game": RESCALED}),
        ("exchange-cannot-rescale", "sngan", None, {"game": RESCALED}),
        ("pack-with-codes", "infogan", None, {"game": {"pack": 2}}),
        ("pack-with-labels", "cgan", None, {"game": {"pack": 2}}),
        ("batch-not-divisible", "pacgan", None, {"game": {"pack": 3}}),
        ("batch-not-divisible", "dcgan", None, {"optimisation": {"accumulate": 3}}),
        ("labels-in-every-layer", "cgan-pd", None, {"game": {"conditioning": EVERY_LAYER}}),
        (
            "augmentation-needs-anchored-logits",
            "wgan-gp",
            None,
            {"game": {"augmentation": {"kind": "ada"}}},
        ),
        ("wasserstein-without-lipschitz", "wgan-gp", None, {"game": {"penalties": []}}),
        (
            "wasserstein-without-lipschitz",
            "wgan-gp",
            None,
            {"game": {"penalties": [{"kind": "r1"}]}},
        ),
        ("lazy-penalty", "points", None, {"game": {"penalties": [R1_EVERY_4]}}),
        (
            "duplicate-penalty",
            "points",
            None,
            {"game": {"penalties": [{"kind": "r1"}, {"kind": "r1", "gamma": 2.0}]}},
        ),
        (
            "augmentation-needs-images",
            "points",
            None,
            {"game": {"augmentation": {"kind": "shift"}}},
        ),
    ],
)
def test_a_bad_combination_is_refused_with_its_reason(code, recipe, space, changes):
    assert code in refusals(recipe, space, **changes)


@pytest.mark.parametrize(
    ("recipe", "space", "changes"),
    [
        ("dcgan", UNLABELLED, {}),
        ("dcgan", UNLABELLED, {"game": PLAIN}),
        (
            "dcgan",
            None,
            {
                "game": {
                    **PLAIN,
                    "network": {"discriminator_norm": "none"},
                    "penalties": [{"kind": "r1"}],
                }
            },
        ),
        (
            "wgan-gp",
            None,
            {"game": {"penalties": [], "network": {"discriminator_norm": "spectral"}}},
        ),
        ("r3gan-small", None, {"game": {"conditioning": {"kind": "concatenation"}}}),
        ("sngan", None, {"game": {"conditioning": {"kind": "projection"}}}),
        ("vanilla", POINTS, {}),
        ("vanilla", image_space(3, 200), {}),
    ],
)
def test_the_mended_combination_passes(recipe, space, changes):
    assert check(config_for(recipe, space, **changes)) == []


@pytest.mark.parametrize(
    ("code", "recipe", "changes"),
    [
        ("lazy-penalty", "r3gan-small", {"game": {"penalties": [R1_EVERY_4]}}),
        ("redundant-penalty", "sngan", {"game": {"penalties": [{"kind": "one_centred"}]}}),
        ("codes-without-information", "infogan", {"game": {"information": None}}),
        ("statistics-of-parts", "dcgan", {"optimisation": {"accumulate": 2}}),
        *(
            ("statistics-of-parts", recipe, {"game": NORM_FREE, "optimisation": {"accumulate": 2}})
            for recipe in ("feature-matching", "unrolled", "dragan")
        ),
        (
            "penalty-on-mixed-items",
            "dragan",
            {"game": {"minibatch_features": {"kind": "minibatch_stddev"}}},
        ),
        ("no-burn-in", "lsgan", {"optimisation": {"decay": {"kind": "burn_in"}}}),
        ("no-burn-in", "cyclegan", {"optimisation": {"decay": {"kind": "burn_in"}}}),
        ("no-burn-in", "lsgan", {"game": {"augmentation": BLIT}}),
        (
            "statistics-of-parts",
            "dragan",
            {
                "game": {
                    "minibatch_features": {"kind": "minibatch_stddev"},
                    "penalties": [],
                    "network": {"generator_norm": "none", "discriminator_norm": "none"},
                },
                "optimisation": {"accumulate": 2},
            },
        ),
        ("color-on-grey", "ada", {}),
        (
            "color-on-grey",
            "lsgan",
            {"game": {"augmentation": {"kind": "diffaugment", "policy": ["color"]}}},
        ),
        (
            "cutout-leaks",
            "lsgan",
            {"game": {"augmentation": {"kind": "diffaugment", "policy": ["cutout"]}}},
        ),
    ],
)
def test_a_doubtful_combination_is_warned_about(code, recipe, changes):
    assert [w.code for w in check(config_for(recipe, **changes))] == [code]


def test_all_reasons_are_given_at_once():
    codes = refusals("cgan", UNLABELLED, game={"penalties": [{"kind": "r1"}]})
    assert codes == {"dataset-unlabelled", "batch-norm-in-discriminator"}


MEASURED = {"evaluate_every": 5, "protocol": {"measures": ["frechet"]}}
FEW = {"evaluate_every": 5, "protocol": {"samples": 199}}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"referee": {"protocol": {"features": "classifier"}}}, "evaluation-impossible"),
        ({"referee": {"evaluate_every": 0}, "stop": {"plateau": {}}}, "stop-without-evaluations"),
        ({"referee": MEASURED, "stop": {"equilibrium": {}}}, "stop-not-measured"),
        ({"referee": MEASURED, "stop": {"plateau": {"measure": "kernel"}}}, "stop-not-measured"),
    ],
)
def test_what_the_referee_cannot_do_is_refused(changes, code):
    config = config_for("dcgan", image_space(classes=0), **changes)
    with pytest.raises(InvalidConfig) as refused:
        check(config)
    assert [finding.code for finding in refused.value.findings] == [code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"referee": {"best_by": "kernel", **MEASURED}}, "best-not-measured"),
        ({"referee": MEASURED, "stop": {"plateau": {"patience": 99}}}, "stop-never-reached"),
        ({"referee": FEW, "stop": {"equilibrium": {}}}, "stop-never-reached"),
    ],
)
def test_what_the_referee_will_not_come_to_is_warned_about(changes, code):
    config = config_for("dcgan", image_space(classes=0), steps=100, **changes)
    assert code in [finding.code for finding in check(config)]
