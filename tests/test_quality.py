"""What recipes reach, on real data and against judges that do not know them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from ganmodels.config import TrainConfig
from ganmodels.data.builtin import BUILTIN
from ganmodels.data.packed import open_packed, pack
from ganmodels.dealing import deal
from ganmodels.games.match import Match
from ganmodels.merging import settings
from ganmodels.sampling import Sampler
from tests.ganmodels.builders import CPU, DATASET

CENTRES = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
SIGMA = 0.01

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    def dataset(name: str):
        directory = tmp_path_factory.mktemp(name)
        pack(BUILTIN[name](), directory)
        return open_packed(directory)

    return dataset


def play(dataset, recipe: str, steps: int, total_steps: int | None = None) -> Sampler:
    space = dataset.manifest.space
    resolved = settings(recipe, {"steps": total_steps or steps}, dataset.manifest.count)
    resolved |= {"dataset": DATASET, "space": space.model_dump()}
    config = TrainConfig.model_validate(resolved, strict=False)
    clusters = config.game.labels.fit(dataset.items[dataset.training_indices], seed=0)
    match, deck = Match(config, CPU), deal(config, dataset, None, clusters, CPU)
    for _ in range(steps):
        match.play(deck)
    return Sampler(config.game, space, match.average, clusters)


def modes_and_share(points: np.ndarray, sigmas: float) -> tuple[int, float]:
    """Modes with a point within so many sigma, and the share of such points."""
    distances = np.linalg.norm(points[:, None] - CENTRES, axis=2)
    good = distances.min(1) < sigmas * SIGMA
    return len(np.unique(distances.argmin(1)[good])), float(good.mean())


def draw(sampler: Sampler, count: int, labels: np.ndarray | None = None) -> np.ndarray:
    labels = sampler.labels(0, 0, count) if labels is None else labels
    return sampler.draw(sampler.latents(0, 0, count), labels)


def test_points_find_all_modes_of_the_ring_within_seconds(packed):
    ring = packed("ring")
    modes, share = modes_and_share(draw(play(ring, "points", 1500, 10_000), 2000), sigmas=10)
    assert modes == 8
    assert share > 0.5


def test_an_untrained_generator_and_a_single_point_do_not_pass_for_a_ring(packed):
    modes, share = modes_and_share(draw(play(packed("ring"), "points", 0, 10), 2000), sigmas=10)
    assert modes < 8 or share < 0.2
    assert modes_and_share(np.repeat(CENTRES[:1], 100, axis=0), sigmas=10)[0] == 1


@pytest.mark.slow
def test_points_reach_eight_modes_and_nine_tenths_within_three_sigma(packed):
    modes, share = modes_and_share(draw(play(packed("ring"), "points", 8_000), 2500), sigmas=3)
    assert modes == 8
    assert share >= 0.9


@pytest.mark.slow
def test_cgan_draws_the_digit_asked_for_and_varies_it(packed):
    dataset = packed("digits")
    asked = np.arange(1000) % 10
    images = draw(play(dataset, "cgan", 3000), 1000, asked)
    # On the packed reals this judge is right in 99.6 %; nearest neighbours were in 98.9 % only.
    judge = SVC(gamma=0.001, C=10).fit(load_digits().data, load_digits().target)
    assert (judge.predict(halved(images)) == asked).mean() >= 0.97
    real = halved(np.array(dataset.items))
    assert spread(halved(images), asked) >= 0.75 * spread(real, np.array(dataset.labels))


def halved(images: np.ndarray) -> np.ndarray:
    """Means over 2x2 pixels in 0..16, flattened: the form of scikit-learn's digits."""
    cells = images[..., 0].reshape(len(images), 8, 2, 8, 2).astype(np.float64)
    return cells.mean((2, 4)).reshape(len(images), 64) * 16 / 255


def spread(items: np.ndarray, labels: np.ndarray) -> float:
    """Mean distance between items of one class."""
    groups = [items[labels == label][:100] for label in range(10)]
    return float(np.mean([np.linalg.norm(g[:, None] - g[None], axis=2).mean() for g in groups]))
