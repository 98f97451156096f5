"""A source is given where it is needed, fits the dataset, and the game fits both."""

import pytest

from ganmodels.config import Source, TrainConfig
from ganmodels.spaces import PointSpace
from ganmodels.validity import InvalidConfig, check
from tests.ganmodels.builders import SOURCE, SOURCED, config_for, image_space

POINTS = PointSpace(dimensions=2)
WASSERSTEIN = {"kind": "wasserstein"}
SPECTRAL = {"network": {"discriminator_norm": "spectral"}}
every_sourced = pytest.mark.parametrize("recipe", SOURCED)


def with_source(config: TrainConfig, **changes) -> TrainConfig:
    source = Source(dataset=SOURCE, space=config.space).model_copy(update=changes)
    return config.model_copy(update={"source": source})


def refusals(config: TrainConfig) -> set[str]:
    with pytest.raises(InvalidConfig) as caught:
        check(config)
    findings = caught.value.findings
    assert all(f.pointer.startswith("/") and len(f.detail) > 40 for f in findings)
    return {finding.code for finding in findings}


@every_sourced
def test_a_game_that_translates_needs_a_source(recipe):
    config = config_for(recipe).model_copy(update={"source": None})
    assert refusals(config) == {"source-missing"}


def test_a_gan_takes_no_source():
    assert refusals(with_source(config_for("cgan"))) == {"source-unused"}


@every_sourced
@pytest.mark.parametrize("space", [image_space(8, 9), image_space(8, 8, 3), POINTS], ids=repr)
def test_source_and_dataset_have_one_shape(recipe, space):
    assert refusals(with_source(config_for(recipe), space=space)) == {"source-shape"}


@every_sourced
def test_classes_of_the_source_need_not_be_those_of_the_dataset(recipe):
    assert check(with_source(config_for(recipe), space=image_space(classes=0))) == []


@every_sourced
def test_a_source_that_is_the_dataset_is_warned_about(recipe):
    config = config_for(recipe)
    findings = check(with_source(config, dataset=config.dataset))
    assert [(f.severity, f.code) for f in findings] == [("warning", "source-is-dataset")]


@every_sourced
@pytest.mark.parametrize(
    ("code", "space", "changes"),
    [
        ("translation-needs-images", POINTS, {}),
        ("image-size-unsupported", image_space(7, 8), {}),
        ("image-size-unsupported", image_space(8, 129), {}),
        (
            "patches-do-not-pair",
            None,
            {"game": {"objective": {"kind": "relativistic_pairing"}}},
        ),
        ("wasserstein-without-lipschitz", None, {"game": {"objective": WASSERSTEIN}}),
        ("batch-not-divisible", None, {"optimisation": {"accumulate": 3}}),
    ],
)
def test_a_bad_combination_is_refused_with_its_reason(recipe, code, space, changes):
    assert code in refusals(config_for(recipe, space, **changes))


@every_sourced
@pytest.mark.parametrize(
    "changes",
    [
        {"game": {"objective": WASSERSTEIN, **SPECTRAL}},
        {"game": {"objective": {"kind": "hinge"}}},
        {"game": {"replay": {"share": 0.0}}},
        {"optimisation": {"accumulate": 4}},
        {"optimisation": {"precision": "bfloat16"}},
    ],
)
def test_the_mended_combination_passes(recipe, changes):
    assert check(config_for(recipe, **changes)) == []


def test_reflected_edges_are_not_deterministic_on_a_gpu():
    config = config_for("cyclegan", engine={"deterministic": True})
    assert "deterministic-unsupported" in refusals(config)
    assert check(config_for("simgan", engine={"deterministic": True})) == []
