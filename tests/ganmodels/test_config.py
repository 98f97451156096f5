"""Configurations survive JSON, refuse nonsense, and recipes merge as documented."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ganmodels.config import TrainConfig
from ganmodels.games import Gan, SemiSupervised
from ganmodels.latents import Latent
from ganmodels.merging import fit_to_items, merge_patch
from ganmodels.merging import settings as recipe_settings
from ganmodels.networks import R3, Maxout, Mlp, NoisyMlp
from ganmodels.optimisation import Adam, Optimisation
from ganmodels.penalties import R1, R2
from ganmodels.recipes import RECIPES, choose
from ganmodels.spaces import PointSpace
from tests.ganmodels.builders import config_for, image_space

# Hypothesis does not see the bounds of the items of a tuple, nor those beside None.
widths = st.lists(st.integers(1, 8192), min_size=1, max_size=16).map(tuple)
for perceptron in (Mlp, NoisyMlp, Maxout):
    st.register_type_strategy(
        perceptron, st.builds(perceptron, generator_widths=widths, discriminator_widths=widths)
    )
multiples = st.lists(st.integers(1, 128).map(lambda n: 8 * n), min_size=1, max_size=6).map(tuple)
st.register_type_strategy(R3, st.builds(R3, widths=multiples))
choices = st.lists(st.integers(2, 1000), max_size=16).map(tuple)
st.register_type_strategy(
    Latent, st.builds(Latent, gaussian=st.integers(1, 1024), categorical=choices)
)
final_gammas = st.none() | st.floats(1e-6, 1e4)
for penalty in (R1, R2):
    st.register_type_strategy(penalty, st.builds(penalty, final_gamma=final_gammas))
momenta = st.none() | st.floats(0, 1, exclude_max=True)
st.register_type_strategy(Adam, st.builds(Adam, final_beta2=momenta))
slow_to_draw = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@slow_to_draw
@given(
    game=st.from_type(Gan) | st.from_type(SemiSupervised), optimisation=st.from_type(Optimisation)
)
def test_every_valid_configuration_survives_json(game, optimisation):
    base = config_for("dcgan")
    config = base.model_copy(update={"game": game, "optimisation": optimisation})
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_survives_json(recipe):
    config = config_for(recipe)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optimisation/batch_size", 10**9),
        ("optimisation/batch_size", "32"),
        ("optimisation/batch_size", True),
        ("optimisation/batch_size", 1),
        ("optimisation/generator/learning_rate", 0),
        ("optimisation/generator/learning_rate", -1e-3),
        ("optimisation/generator/learning_rate", "nan"),
        ("schedule/steps", 0),
        ("schedule/steps", 10**18),
        ("seed", -1),
        ("seed", 2**63),
        ("game/network/generator_width", 10**6),
        ("game/objective", {"kind": "hnige"}),
        ("game/objective", {"kind": "hinge", "magrin": 1}),
        ("game/learning_rat", 1),
        ("dataset", "../../etc/passwd"),
    ],
)
def test_values_out_of_bounds_are_refused(path, value):
    data = config_for("dcgan").model_dump(mode="json")
    *parents, last = path.split("/")
    place = data
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(ValidationError):
        TrainConfig.model_validate_json(json.dumps(data))


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(text):
    data = json.dumps(config_for("dcgan").model_dump(mode="json"))
    with pytest.raises(ValidationError):
        TrainConfig.model_validate_json(data.replace('"beta1": 0.5', f'"beta1": {text}'))


def test_a_patch_changes_what_it_names_and_nothing_else():
    base = recipe_settings("dcgan", {}, 10_000)
    changed = recipe_settings("dcgan", {"game": {"latent": {"gaussian": 7}}}, 10_000)
    assert changed["game"]["latent"].pop("gaussian") == 7
    del base["game"]["latent"]["gaussian"]
    assert changed == base


def test_another_kind_replaces_the_object_whole():
    network = {"kind": "mlp", "generator_widths": [8]}
    changed = recipe_settings("dcgan", {"game": {"network": network}}, 10_000)
    assert changed["game"]["network"] == network


def test_shortcuts_reach_both_networks_and_yield_to_the_full_name():
    changes = {
        "learning_rate": 0.5,
        "steps": 3,
        "batch_size": 4,
        "optimisation": {"discriminator": {"learning_rate": 0.25}},
    }
    changed = recipe_settings("dcgan", changes, 10_000)
    assert changed["optimisation"]["generator"]["learning_rate"] == 0.5
    assert changed["optimisation"]["discriminator"]["learning_rate"] == 0.25
    assert changed["optimisation"]["batch_size"] == 4
    assert changed["schedule"]["steps"] == 3


@pytest.mark.parametrize(
    ("base", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ("a", {"b": 1}, {"b": 1}),
    ],
)
def test_merge_patch_follows_rfc_7396(base, patch, merged):
    assert merge_patch(base, patch) == merged


def test_a_small_dataset_gets_fewer_clusters_and_smaller_batches():
    small = fit_to_items(RECIPES["dcgan"], items=100)
    assert small.game.labels.count == 5
    assert fit_to_items(RECIPES["vanilla"], items=10).optimisation.batch_size == 10
    assert fit_to_items(RECIPES["pacgan"], items=51).optimisation.batch_size == 50
    assert fit_to_items(RECIPES["r3gan"], items=100).optimisation.batch_size == 96
    assert fit_to_items(RECIPES["dcgan"], items=60_000) == RECIPES["dcgan"]


def test_what_a_request_names_is_not_fitted_to_the_dataset():
    changes = {"game": {"labels": {"kind": "clusters", "count": 40}}}
    assert recipe_settings("dcgan", changes, 100)["game"]["labels"]["count"] == 40


def test_the_recipe_is_chosen_by_what_the_dataset_holds():
    assert choose(image_space()) == "cgan"
    assert choose(image_space(classes=0)) == "dcgan"
    assert choose(PointSpace(dimensions=2)) == "points"


def test_null_takes_a_setting_away_also_beside_shortcuts():
    resolved = recipe_settings("infogan", {"steps": 7, "game": {"information": None}}, 10_000)
    assert "information" not in resolved["game"]
    assert resolved["schedule"]["steps"] == 7
