"""Mixes keep what generators have seen, go through their ends, and depend on no neighbour."""

import numpy as np
import pytest

from ganmodels.latents import Latent
from ganmodels.mixing import along, mixed, on_plane

NORMAL = Latent(gaussian=256)
ALL = Latent(gaussian=8, uniform=3, signs=2, categorical=(4, 2), continuous=1)
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def drawn(latent: Latent, *seeds: int, count: int = 1) -> np.ndarray:
    return np.stack([[latent.at(seed, index) for index in range(count)] for seed in seeds])


def mix(latent: Latent, terms: np.ndarray, *weights: float, mode: str = "slerp") -> np.ndarray:
    return mixed(latent, terms, np.array(weights)[:, None], mode)


def lengths(latents: np.ndarray) -> np.ndarray:
    return np.linalg.norm(latents.astype(np.float64), axis=-1)


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
@pytest.mark.parametrize("weights", [(1,), (0, 3), (2, 0), (0, 0, 0.1), (0, 5, 0)])
def test_a_term_of_all_the_weight_is_given_back(mode, weights):
    terms = drawn(ALL, *range(len(weights)), count=3)
    assert np.array_equal(mix(ALL, terms, *weights, mode=mode), terms[np.argmax(weights)])


def test_equal_terms_are_given_back():
    terms = drawn(ALL, 4, 4, 4)
    assert mix(ALL, terms, 0.2, 0.3, 0.5) == pytest.approx(terms[0], abs=1e-6)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.3, 0.7), (1, 1, 1), (1,) * 8])
def test_spherical_mixes_are_as_long_as_normal_latents_and_straight_ones_are_not(weights):
    terms = drawn(NORMAL, *range(len(weights)), count=200)
    expected = np.average(lengths(terms), axis=0, weights=weights)
    assert lengths(mix(NORMAL, terms, *weights)) == pytest.approx(expected, rel=1e-5)
    shorter = lengths(mix(NORMAL, terms, *weights, mode="lerp"))
    assert shorter.mean() < 0.85 * expected.mean()


def test_normal_latents_stay_standard_normal_in_the_middle():
    middle = mix(NORMAL, drawn(NORMAL, 1, 2, count=200), 1, 1)
    assert middle.std() == pytest.approx(1, abs=0.01)


def test_an_arc_is_passed_at_a_constant_pace():
    terms = drawn(NORMAL, 1, 2)
    steps = np.stack([mix(NORMAL, terms, 1 - t, t)[0] for t in np.linspace(0, 1, 9)])
    directions = steps / lengths(steps)[:, None]
    angles = np.arccos((directions[1:] * directions[:-1]).sum(1))
    assert angles == pytest.approx(angles[0], rel=1e-3)


def test_only_shares_of_the_weights_count():
    terms = drawn(ALL, 1, 2, 3)
    assert mix(ALL, terms, 1, 2, 5) == pytest.approx(mix(ALL, terms, 0.1, 0.2, 0.5), abs=1e-6)


def test_signs_and_choices_are_those_of_the_heaviest_term_and_the_rest_is_linear():
    terms = drawn(ALL, 1, 2, 5)
    found = mix(ALL, terms, 0.3, 0.5, 0.2)[0]
    assert np.array_equal(found[11:19], terms[1, 0, 11:19])
    even = [*range(8, 11), 19]
    expected = np.average(terms[:, 0], axis=0, weights=(0.3, 0.5, 0.2))
    assert found[even] == pytest.approx(expected[even], abs=1e-6)


def test_linear_mixes_subtract():
    terms = drawn(NORMAL, 1, 2, 3)
    found = mix(NORMAL, terms, 1, -1, 1, mode="lerp")
    assert found == pytest.approx(terms[0] - terms[1] + terms[2], abs=1e-5)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 1e-30])
def test_ends_without_an_arc_of_their_own_are_joined_by_a_straight_line(factor):
    first = drawn(NORMAL, 1)[0]
    terms = np.stack([first, (factor * first).astype(np.float32)])
    found = mix(NORMAL, terms, 3, 1)
    assert found == pytest.approx((3 + factor) / 4 * first, abs=1e-6)


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
def test_a_latent_does_not_depend_on_its_neighbours(mode):
    terms = drawn(ALL, 1, 2, 3, count=9)
    together = mix(ALL, terms, 1, 2, 3, mode=mode)
    for index in range(9):
        alone = mix(ALL, terms[:, index : index + 1], 1, 2, 3, mode=mode)
        assert np.array_equal(alone[0], together[index])


def test_mixes_never_change():
    """Literal values: a change here would break every mix that anyone noted down."""
    latent = Latent(gaussian=3, uniform=1)
    found = mix(latent, drawn(latent, 7, 12), 0.3, 0.7)[0]
    normal = [-0.3191048800945282, 1.6736454963684082, -0.03994814306497574]
    assert found.tolist() == [*normal, -0.1959882527589798]


@pytest.mark.parametrize("easing", ["linear", "smoothstep"])
def test_a_path_passes_its_keyframes_and_may_lead_back(easing):
    keyframes = drawn(ALL, 1, 2, 3)[:, 0]
    passed = along(ALL, keyframes, np.array([0.0, 1.0, 2.0, 3.0]), "slerp", easing)
    assert np.array_equal(passed, keyframes[[0, 1, 2, 0]])


def test_easing_sets_out_slowly_and_arrives_slowly():
    keyframes = drawn(NORMAL, 1, 2)[:, 0]
    places = np.array([0, 0.1, 0.5, 0.6])
    linear = along(NORMAL, keyframes, places, "slerp")
    eased = along(NORMAL, keyframes, places, "slerp", "smoothstep")
    gone = [lengths(frames[1::2] - frames[::2]) for frames in (linear, eased)]
    assert gone[1][0] < 0.5 * gone[0][0]
    assert gone[1][1] > gone[0][1]
    assert np.array_equal(eased[2], linear[2])


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
def test_a_plane_has_its_corners_and_its_edges_are_mixes(mode):
    corners = drawn(ALL, 1, 2, 3)[:, 0]
    assert np.array_equal(on_plane(ALL, corners, *CORNERS.T, mode), corners)
    edge = on_plane(ALL, corners, np.array([0.3, 0.0]), np.array([0.0, 0.3]), mode)
    for index, end in enumerate((1, 2)):
        expected = mix(ALL, corners[[0, end]][:, None], 0.7, 0.3, mode=mode)[0]
        assert edge[index] == pytest.approx(expected, abs=1e-6)


def test_the_far_corner_of_a_plane_is_as_long_as_the_others():
    corners = drawn(NORMAL, 1, 2, 3)[:, 0]
    far = on_plane(NORMAL, corners, np.ones(1), np.ones(1), "slerp")[0]
    opposite = corners[1] + corners[2] - corners[0]
    a, b, c = lengths(corners)
    assert lengths(far) == pytest.approx(b + c - a, rel=1e-5)
    assert far / lengths(far) == pytest.approx(opposite / lengths(opposite), abs=1e-5)
    straight = on_plane(NORMAL, corners, np.ones(1), np.ones(1), "lerp")[0]
    assert straight == pytest.approx(opposite, abs=1e-5)


@pytest.mark.parametrize("latent", [Latent(gaussian=1), Latent(gaussian=0, uniform=4, signs=1)])
def test_latents_of_few_normal_coordinates_can_be_mixed_too(latent):
    corners = drawn(latent, 1, 2, 3)
    places = np.linspace(0, 1, 5)
    assert np.isfinite(mix(latent, corners, 1, 2, 3)).all()
    assert np.isfinite(on_plane(latent, corners[:, 0], places, places, "slerp")).all()
