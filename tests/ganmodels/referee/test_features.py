"""Feature spaces: the same for the same items, told apart by their hash, refused with a remedy."""

import numpy as np
import pytest
import torch

from ganmodels.referee.features.classifier import Classifier
from ganmodels.referee.features.loading import FeaturesUnavailable, load_features
from tests.ganmodels.builders import CPU
from tests.ganmodels.referee.streams import images, noise, points, two_blobs


def load(kind, dataset, cache=None):
    return load_features(kind, dataset, cache, None, CPU)


def test_auto_is_a_classifier_with_labels_and_else_suits_the_space(packed):
    labels = np.arange(40) % 2
    assert load("auto", packed(two_blobs(40))).kind == "classifier"
    assert load("auto", packed(images(noise(40, 8, 8, 1)))).kind == "random"
    assert load("auto", packed(points(noise(40, 2)))).kind == "pixels"
    one_class = packed(images(noise(40, 8, 8, 1, seed=1), labels * 0))
    assert load("auto", one_class).kind == "random"


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 30, 4), (28, 28, 2), (70, 90, 3), (4, 5, 1)])
def test_random_features_are_finite_numbers_of_any_image(packed, shape):
    dataset = packed(images(noise(30, *shape)))
    features = load("random", dataset)
    found = features.of(dataset.items)
    assert (found.shape, found.dtype) == ((30, 224), np.float32)
    assert np.isfinite(found).all()
    assert features.labels(dataset.items) is None
    assert len(np.unique(found, axis=0)) == len(np.unique(dataset.items, axis=0))


def test_random_features_depend_on_no_other_state(packed, digits):
    torch.manual_seed(1)
    some = load("random", digits)
    torch.manual_seed(2)
    other = load("random", digits)
    assert some.sha256 == other.sha256
    assert np.array_equal(some.of(digits.items[:300]), other.of(digits.items[:300]))
    assert some.sha256 != load("random", packed(images(noise(30, 8, 8, 3)))).sha256


def test_pixels_are_the_values_that_networks_see(packed):
    small = packed(images(noise(30, 4, 5, 3)))
    seen = load("pixels", small).of(small.items)
    assert seen.shape == (30, 60)
    wanted = small.items.transpose(0, 3, 1, 2).reshape(30, 60) / 127.5 - 1
    assert seen == pytest.approx(wanted, abs=1e-6)
    large = packed(images(noise(30, 64, 32, 1)))
    halved = large.items.reshape(30, 32, 2, 16, 2).mean((2, 4)).reshape(30, 512) / 127.5 - 1
    assert load("pixels", large).of(large.items) == pytest.approx(halved, abs=1e-5)


def test_points_are_seen_over_their_scale(ring):
    features = load("pixels", ring)
    scale = ring.manifest.space.scale
    assert features.of(ring.items[:10]) == pytest.approx(ring.items[:10] / scale)


def test_a_classifier_knows_digits_and_says_how_well(digits, classifier):
    assert classifier.accuracy > 0.97
    found = classifier.labels(digits.items[digits.held_out])
    assert (found == digits.labels[digits.held_out]).mean() == classifier.accuracy
    features = classifier.of(digits.items[digits.training_indices])
    assert features.shape == (len(digits.training_indices), 128)
    assert (features.astype(float) ** 2).mean() == pytest.approx(1, abs=1e-4)


def test_training_a_classifier_twice_gives_the_same_and_leaves_the_global_stream(packed):
    dataset = packed(two_blobs(200))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    some = load("classifier", dataset)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    other = load("classifier", dataset)
    assert some.sha256 == other.sha256
    assert some.accuracy > 0.9
    assert np.array_equal(some.of(dataset.items), other.of(dataset.items))


@pytest.fixture
def trainings(monkeypatch) -> list[str]:
    """The ids of datasets whose classifiers were trained since."""
    from ganmodels.referee.features import classifier

    train, trained = classifier.train_classifier, []

    def counted(dataset, device) -> Classifier:
        trained.append(dataset.manifest.id)
        return train(dataset, device)

    monkeypatch.setattr(classifier, "train_classifier", counted)
    return trained


def test_a_cached_classifier_is_the_one_that_was_trained(packed, tmp_path, trainings):
    dataset, cache = packed(two_blobs(100)), tmp_path / "classifier.safetensors"
    trained, read = load("auto", dataset, cache), load("auto", dataset, cache)
    assert len(trainings) == 1
    assert (read.sha256, read.accuracy) == (trained.sha256, trained.accuracy)
    assert np.array_equal(read.of(dataset.items), trained.of(dataset.items))
    assert [path.name for path in tmp_path.iterdir()] == [cache.name]


def test_a_classifier_of_other_data_or_a_damaged_one_is_replaced(packed, tmp_path, trainings):
    cache = tmp_path / "classifier.safetensors"
    some, other = packed(two_blobs(100)), packed(two_blobs(100, seed=1))
    load("auto", some, cache)
    found = load("auto", other, cache)
    cache.write_bytes(cache.read_bytes()[:-9])
    assert load("auto", other, cache).sha256 == found.sha256
    cache.write_bytes(b"not a safetensors file")
    assert load("auto", other, cache).sha256 == found.sha256
    assert load("auto", other, cache).sha256 == found.sha256
    assert trainings == [some.manifest.id, *[other.manifest.id] * 3]


def test_a_cache_that_cannot_be_written_is_done_without(packed, tmp_path, trainings):
    dataset, cache = packed(two_blobs(100)), tmp_path / "gone" / "classifier.safetensors"
    assert load("auto", dataset, cache).kind == "classifier"
    assert not cache.parent.exists()


def test_a_dataset_too_small_to_hold_anything_out_has_a_classifier_of_unknown_accuracy(packed):
    assert load("auto", packed(two_blobs(12))).accuracy is None


@pytest.mark.parametrize(
    ("kind", "is_image", "code", "remedy"),
    [
        ("classifier", True, "classifier_without_labels", "'auto'"),
        ("random", False, "random_on_points", "'pixels'"),
        ("inception", False, "inception_on_points", "'pixels'"),
        ("inception", True, "inception_without_weights", "RINGSIDE_INCEPTION_WEIGHTS"),
    ],
)
def test_features_that_do_not_suit_the_data_are_refused(packed, kind, is_image, code, remedy):
    dataset = packed(images(noise(30, 8, 8, 1)) if is_image else points(noise(30, 2)))
    with pytest.raises(FeaturesUnavailable, match=remedy) as refusal:
        load(kind, dataset)
    assert refusal.value.code == code
