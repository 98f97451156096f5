"""Latents are made of what their specification says, and codes can be set."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ganmodels.latents import MAX_SEED, Latent, passing_philox, philox

INFO = Latent(gaussian=2, uniform=3, signs=2, categorical=(4, 2), continuous=2)


def served(count: int, latent: Latent = INFO) -> np.ndarray:
    return np.stack([latent.at(5, index) for index in range(count)])


def trained(count: int, latent: Latent = INFO) -> np.ndarray:
    return latent.draw(count, torch.Generator().manual_seed(0)).numpy()


@pytest.mark.parametrize("draw", [served, trained])
def test_parts_lie_in_their_order_and_have_their_values(draw):
    latents = draw(500)
    assert latents.shape == (500, 15)
    assert latents.dtype == np.float32
    normal, even, signs, four, two, codes = np.split(latents, [2, 5, 7, 11, 13], axis=1)
    assert np.abs(normal).max() > 1.5
    for uniform in (even, codes):
        assert -1 <= uniform.min() < -0.95
        assert 0.95 < uniform.max() <= 1
    assert set(np.unique(signs)) == {-1, 1}
    for one_hot in (four, two):
        assert set(np.unique(one_hot)) == {0, 1}
        assert (one_hot.sum(1) == 1).all()
        assert one_hot.mean(0) == pytest.approx(1 / one_hot.shape[1], abs=0.07)


def test_codes_after_the_noise_do_not_change_the_noise():
    plain = Latent(gaussian=2, uniform=3, signs=2)
    assert np.array_equal(served(9, plain), served(9)[:, :7])


def test_coded_latents_never_change():
    """Literal values: a change here would break every seed that anyone noted down."""
    latent = Latent(gaussian=0, uniform=2, categorical=(3,), continuous=1).at(seed=7, index=2)
    even, code = [-0.1648883819580078, 0.8127306699752808], [0.9793335199356079]
    assert latent.tolist() == [*even, 0, 0, 1, *code]


def test_training_draws_are_a_function_of_the_stream():
    assert np.array_equal(trained(4), trained(4))


def test_a_latent_may_do_without_normal_coordinates_but_not_without_any():
    assert Latent(gaussian=0, uniform=5).width == 5
    with pytest.raises(ValidationError, match="at least one coordinate"):
        Latent(gaussian=0)


@pytest.mark.parametrize("categorical", [(1,), (1001,), (2,) * 17])
def test_a_code_has_2_to_1000_choices_and_there_are_at_most_16(categorical):
    with pytest.raises(ValidationError):
        Latent(categorical=categorical)


def test_truncation_scales_noise_and_leaves_signs_and_codes_alone():
    latents = served(5)
    cut = INFO.truncate(latents, 0.5)
    noise = INFO.gaussian + INFO.uniform
    assert np.array_equal(cut[:, :noise], latents[:, :noise] / 2)
    assert np.array_equal(cut[:, noise:], latents[:, noise:])


def test_codes_are_the_last_coordinates():
    latents = torch.from_numpy(served(3))
    assert (INFO.code_count, INFO.code_width) == (4, 8)
    assert INFO.code_names == ("c1", "c2", "c3", "c4")
    assert torch.equal(INFO.codes(latents), latents[:, 7:])
    assert Latent().codes(torch.zeros(2, 64)).shape == (2, 0)


def test_given_codes_are_set_and_others_stay_as_drawn():
    latents = served(6)
    changed = INFO.with_codes(latents, (3, None, 2, None))
    assert (changed[:, 7:11] == [0, 0, 0, 1]).all()
    assert (changed[:, 13] == 2).all()
    kept = [*range(7), 11, 12, 14]
    assert np.array_equal(changed[:, kept], latents[:, kept])
    assert np.array_equal(latents, served(6))


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ((1, 1, 0), "has 4 codes, 3 were given"),
        ((4, None, None, None), "c1 is one of 4: give 0 to 3, not 4"),
        ((None, -1, None, None), "c2 is one of 2"),
        ((0.5, None, None, None), "c1 is one of 4"),
        ((float("nan"), None, None, None), "c1 is one of 4"),
        ((None, None, 2.01, None), "c3 is continuous: give a number from -2 to 2, not 2.01"),
        ((None, None, None, float("nan")), "c4 is continuous"),
        ((None, None, None, float("inf")), "c4 is continuous"),
        ((None, None, None, 10**400), "c4 is continuous"),
    ],
)
def test_codes_out_of_their_range_are_refused_with_the_range(codes, words):
    with pytest.raises(ValueError, match=words):
        INFO.with_codes(served(1), codes)


@given(
    seed=st.integers(0, MAX_SEED),
    index=st.integers(0, 2**53),
    stream=st.integers(0, 9),
    count=st.integers(0, 9),
)
def test_a_generator_that_is_set_back_draws_what_a_new_one_does(seed, index, stream, count):
    new, passing = philox(seed, index, stream), passing_philox(seed, index, stream)
    # An odd number of half words, so that one is left over for the next draw.
    for random in (new, passing):
        random.integers(0, 2, count, dtype=np.int32)
    assert np.array_equal(new.standard_normal(count), passing.standard_normal(count))
    assert new.random() == passing.random()
