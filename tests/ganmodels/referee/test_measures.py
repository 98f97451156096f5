"""Each measure is what its source defines: checked against other people's implementations."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import entropy, norm, wasserstein_distance
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from ganmodels.referee.measures.critic import Examples, critic_accuracy
from ganmodels.referee.measures.frechet import frechet
from ganmodels.referee.measures.kernel import kernel
from ganmodels.referee.measures.manifold import manifold
from ganmodels.referee.measures.modes import modes
from ganmodels.referee.measures.neighbours import neighbour_accuracies, neighbour_distance
from ganmodels.referee.measures.similarity import Scales, pairwise_ms_ssim
from ganmodels.referee.measures.sliced import sliced_wasserstein, unit_directions
from ganmodels.referee.measures.support import Views, support
from ganmodels.spaces import ImageSpace, PointSpace
from tests.ganmodels.referee.references import reference

TOLERANCE = 1e-4


def samples(count: int, dimensions: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of correlated, skewed features that overlap without being alike."""
    random = np.random.default_rng(seed)
    mix = random.standard_normal((dimensions, dimensions)) / dimensions**0.5
    fakes = np.maximum(0, random.standard_normal((count, dimensions)) @ mix + 0.3)
    reals = np.maximum(0, random.standard_normal((count, dimensions)) @ mix.T)
    return fakes.astype(np.float32), reals.astype(np.float32)


SETS = pytest.mark.parametrize(("count", "dimensions"), [(300, 12), (500, 64), (60, 100)])


@SETS
def test_the_frechet_distance_is_that_of_torch_fidelity(count, dimensions):
    module = reference("torch_fidelity.metric_fid")
    fakes, reals = samples(count, dimensions)
    statistics = [
        module.fid_features_to_statistics(torch.from_numpy(given.astype(np.float64)))
        for given in (fakes, reals)
    ]
    wanted = module.fid_statistics_to_metric(*statistics, verbose=False)
    assert frechet(fakes, reals).value == pytest.approx(
        wanted["frechet_inception_distance"], rel=TOLERANCE
    )


def test_the_frechet_distance_of_gaussians_is_the_one_of_the_formula():
    fakes, reals = (given.astype(np.float64) for given in samples(400, 8))
    one, other = np.cov(fakes.T), np.cov(reals.T)
    shift = ((fakes.mean(0) - reals.mean(0)) ** 2).sum()
    wanted = shift + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet(fakes, reals).value == pytest.approx(wanted, rel=1e-9)


def test_the_frechet_distance_is_sound_where_covariances_have_no_inverse():
    """Ten items in 200 dimensions; a constant feature beside."""
    fakes, reals = samples(10, 200)
    fakes[:, 0] = reals[:, 0] = 3
    moved = reals + np.float32(0.5)
    assert frechet(reals, reals).value == pytest.approx(0, abs=1e-5)
    assert frechet(moved, reals).value == pytest.approx(200 * 0.25, rel=1e-5)


@SETS
def test_the_kernel_distance_is_that_of_torch_fidelity_on_all_samples(count, dimensions):
    module = reference("torch_fidelity.metric_kid")
    fakes, reals = samples(count, dimensions)
    wanted = module.kid_features_to_metric(
        *(torch.from_numpy(given.astype(np.float64)) for given in (fakes, reals)),
        kid_subsets=1,
        kid_subset_size=count,
        verbose=False,
    )
    assert kernel(fakes, reals).value == pytest.approx(
        wanted["kernel_inception_distance_mean"], rel=TOLERANCE
    )


@SETS
def test_precision_and_recall_are_those_of_torch_fidelity(count, dimensions):
    module = reference("torch_fidelity.metric_prc")
    fakes, reals = samples(count, dimensions)
    wanted = module.prc_features_to_metric(
        *(torch.from_numpy(given.astype(np.float64)) for given in (fakes, reals)),
        prc_neighborhood=3,
        prc_batch_size=100,
        verbose=False,
    )
    found = manifold(fakes, reals)
    assert found.precision.value == pytest.approx(wanted["precision"], rel=TOLERANCE)
    assert found.recall.value == pytest.approx(wanted["recall"], rel=TOLERANCE)
    assert 0 < wanted["precision"] < 1


@SETS
def test_density_and_coverage_are_the_sums_of_their_paper(count, dimensions):
    fakes, reals = samples(count, dimensions)
    within = np.linalg.norm(reals[:, None].astype(float) - reals[None], axis=2)
    across = np.linalg.norm(reals[:, None].astype(float) - fakes[None], axis=2)
    radii = np.sort(within, axis=1)[:, 5]
    found = manifold(fakes, reals)
    density = (across < radii[:, None]).sum() / (5 * count)
    assert found.density.value == pytest.approx(density, rel=TOLERANCE)
    coverage = (across.min(1) < radii).mean()
    assert found.coverage.value == pytest.approx(coverage, rel=TOLERANCE)


@SETS
def test_the_sliced_distance_is_the_mean_of_scipys_along_its_directions(count, dimensions):
    fakes, reals = samples(count, dimensions)
    directions = unit_directions(dimensions).numpy()
    assert np.linalg.norm(directions, axis=0) == pytest.approx(np.ones(directions.shape[1]))
    wanted = [wasserstein_distance(fakes @ d, reals @ d) for d in directions.T]
    assert sliced_wasserstein(fakes, reals).value == pytest.approx(np.mean(wanted), rel=TOLERANCE)


@pytest.mark.parametrize(("edge", "scales", "channels"), [(12, 1, 1), (28, 2, 1), (64, 3, 3)])
def test_structural_similarity_is_made_of_torchmetrics(edge, scales, channels):
    random = torch.Generator().manual_seed(0)
    first = torch.rand(6, channels, edge, edge, generator=random)
    second = (first + 0.3 * torch.rand(6, channels, edge, edge, generator=random)).clamp(0, 1)
    weights = Scales.of(edge).weights
    assert (len(weights), sum(weights)) == (scales, pytest.approx(1))
    wanted = multi_scale(first, second, weights)
    assert pairwise_ms_ssim(first, second).tolist() == pytest.approx(wanted.tolist(), rel=TOLERANCE)
    assert 0 < wanted.min() < wanted.max() < 1


def multi_scale(first: torch.Tensor, second: torch.Tensor, weights: tuple[float, ...]):
    """From single scales: torchmetrics' own product counts padding as image at the coarsest."""
    single = reference("torchmetrics.functional.image").structural_similarity_index_measure
    given = {"data_range": 1.0, "reduction": "none"}
    product = torch.ones(len(first))
    for weight in weights[:-1]:
        _, contrast = single(first, second, return_contrast_sensitivity=True, **given)
        product *= contrast**weight
        first, second = (torch.nn.functional.avg_pool2d(scale, 2) for scale in (first, second))
    _, places = single(first, second, return_full_image=True, **given)
    return product * places[..., 5:-5, 5:-5].mean((1, 2, 3)) ** weights[-1]


def test_scales_suit_small_and_large_images():
    assert [len(Scales.of(edge).weights) for edge in (1, 8, 21, 22, 44, 176, 1024)] == [
        *(1, 1, 1, 2, 3, 5, 5)
    ]
    assert [Scales.of(edge).window for edge in (1, 2, 8, 10, 11, 300)] == [1, 1, 7, 9, 11, 11]


@SETS
def test_neighbour_accuracies_are_those_of_scikit_learn_leaving_one_out(count, dimensions):
    fakes, reals = (given[:80] for given in samples(count, dimensions))
    items, kinds = np.concatenate([fakes, reals]), np.repeat([0, 1], len(fakes))
    judge = KNeighborsClassifier(1, algorithm="brute")
    right = cross_val_predict(judge, items, kinds, cv=LeaveOneOut()) == kinds
    found = neighbour_accuracies(fakes, reals)
    assert found.all.value == pytest.approx(right.mean())
    assert found.fake.value == pytest.approx(right[kinds == 0].mean())
    assert found.real.value == pytest.approx(right[kinds == 1].mean())


def test_the_neighbour_distance_is_a_ratio_of_medians():
    fakes, unseen = np.array([3.0, 1.0, 2.0, 9.0]), np.array([5.0, 4.0, 6.0])
    assert neighbour_distance(fakes, unseen).value == pytest.approx(2.5 / 5)
    with pytest.raises(ValueError, match="training split"):
        neighbour_distance(fakes, np.zeros(5))


def test_kl_is_scipys_and_a_hundredth_of_errors_does_not_cover_a_class():
    reals = np.repeat(np.arange(4), [50, 50, 50, 50])
    fakes = np.repeat(np.arange(4), [120, 75, 4, 1])
    found = modes(fakes, reals, classes=4)
    assert found.kl.value == pytest.approx(entropy([120, 75, 4, 1], [50.5] * 4))
    assert found.covered.value == 2
    perfect = modes(reals, reals, classes=4)
    assert (perfect.covered.value, perfect.kl.value) == (4, pytest.approx(0))


def test_a_critic_comes_near_the_best_that_any_could_do():
    """Two Gaussians 2 apart: no critic is right more often than Phi(1) = 0.841."""
    random = np.random.default_rng(0)
    space = PointSpace(dimensions=2)

    def examples(count: int) -> Examples:
        fakes, reals = random.standard_normal((2, count, 2)).astype(np.float32)
        return Examples.of(space, fakes, reals + np.array([2, 0], dtype=np.float32))

    found = critic_accuracy(examples(1000), examples(1000), seed=0)
    share = found.value
    assert found.standard_error == pytest.approx((share * (1 - share) / 2000) ** 0.5)
    assert share == pytest.approx(norm.cdf(1), abs=0.03)


@pytest.mark.parametrize("count", [4, 41])
def test_a_critic_is_trained_on_any_number_of_the_smallest_images(count):
    """Of 41 fakes and as many reals 65 are trained on: a full batch and one left over."""
    space = ImageSpace(height=4, width=4, channels=1)
    dark = np.zeros((count, 4, 4, 1), dtype=np.uint8)
    examples = Examples.of(space, dark, dark[1:] + np.uint8(255))
    assert critic_accuracy(examples, examples, seed=0).value == 1


@pytest.mark.parametrize("distinct", [50, 1000])
def test_support_is_estimated_from_birthdays(distinct):
    random = np.random.default_rng(0)
    atoms = random.standard_normal((distinct, 20))
    drawn = atoms[random.integers(distinct, size=600)] + 1e-3 * random.standard_normal((600, 20))
    reals = random.standard_normal((600, 20))
    size = support(Views(drawn, drawn), Views(reals, reals)).size
    assert not size.at_least
    assert size.value == pytest.approx(distinct, abs=4 * size.standard_error)
    assert size.standard_error < distinct / 4


def test_support_without_a_duplicate_is_a_lower_bound():
    random = np.random.default_rng(0)
    far, reals = 100 * random.standard_normal((200, 20)), random.standard_normal((200, 20))
    found = support(Views(far, far), Views(reals, reals))
    assert found.size.at_least
    assert found.size.value == pytest.approx(200 * 199 / 6)
    assert found.duplicates.value == 0


def test_exact_copies_are_duplicates_where_reals_are_copies_of_each_other_too():
    random = np.random.default_rng(0)
    reals, images = random.uniform(-1, 1, (500, 256)), random.uniform(-1, 1, (50, 256))
    reals[:20] = reals[20:40]
    copies = np.repeat(images, 10, axis=0)
    found = support(Views(copies, copies), Views(reals, reals))
    assert found.duplicates.value == 1
    assert found.size.value == pytest.approx(500 / 9 * 0.998, rel=0.01)


def test_duplicates_are_alike_both_in_features_and_in_values():
    random = np.random.default_rng(0)
    reals, different = random.standard_normal((2, 100, 20))
    alike = np.repeat(different[:1], 100, axis=0)
    real_views = Views(reals, reals)
    assert support(Views(alike, different), real_views).duplicates.value < 0.1
    assert support(Views(different, alike), real_views).duplicates.value < 0.1
    assert support(Views(alike, alike), real_views).duplicates.value == 1


@pytest.mark.parametrize("measure", [frechet, kernel, sliced_wasserstein])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_a_standard_error_is_the_deviation_over_new_samples(measure, shift):
    random = np.random.default_rng(0)
    found = [
        measure(fakes + shift, reals) for fakes, reals in random.standard_normal((25, 2, 100, 4))
    ]
    deviation = np.std([estimate.value for estimate in found])
    claimed = np.mean([estimate.standard_error for estimate in found])
    assert 0.6 < claimed / deviation < 2


def test_memory_is_bounded_by_blocks_that_do_not_change_the_result(monkeypatch):
    fakes, reals = samples(90, 20)
    whole = (*manifold(fakes, reals), *neighbour_accuracies(fakes, reals), kernel(fakes, reals))
    monkeypatch.setattr("ganmodels.referee.measures.distances._BLOCK_DISTANCES", 1000)
    monkeypatch.setattr("ganmodels.referee.measures.kernel._BLOCK_VALUES", 1000)
    parts = (*manifold(fakes, reals), *neighbour_accuracies(fakes, reals), kernel(fakes, reals))
    assert [e.value for e in parts] == pytest.approx([e.value for e in whole], rel=1e-12)
