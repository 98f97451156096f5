"""Inception features by torch-fidelity: only from a local file, and only tensors in it."""

import os
import sys

import numpy as np
import pytest
import torch

from ganmodels.referee.features.inception import rgb
from ganmodels.referee.features.loading import FeaturesUnavailable, load_features
from tests.ganmodels.builders import CPU
from tests.ganmodels.referee.references import reference
from tests.ganmodels.referee.streams import images, noise


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """torch-fidelity's module, where it can be had; the environment is put back."""
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0")
    return reference("torch_fidelity.feature_extractor_inceptionv3")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of the right tensors with random values."""
    module = reference("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = module.FeatureExtractorInceptionV3("random", ["2048"], str(path))
    torch.save(network.state_dict(), path)
    return path


def load(dataset, weights):
    return load_features("inception", dataset, None, weights, CPU)


def test_features_come_from_the_file_that_is_named(packed, weights):
    dataset = packed(images(noise(30, 8, 8, 1)))
    features = load(dataset, weights)
    found = features.of(dataset.items[:2])
    assert (found.shape, found.dtype) == ((2, 2048), np.float32)
    assert np.isfinite(found).all()
    assert not np.array_equal(found[0], found[1])
    assert len(features.sha256) == 64


def test_grey_becomes_rgb_and_alpha_is_left_out():
    assert np.array_equal(rgb(noise(3, 4, 4, 4)), noise(3, 4, 4, 4)[..., :3])
    grey = noise(3, 4, 4, 2)
    assert np.array_equal(rgb(grey), np.stack([grey[..., 0]] * 3, axis=-1))


class _Attack:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (os.environ["ATTACKED"],)


def test_a_file_that_holds_code_is_refused_and_not_run(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTACKED", str(tmp_path / "attacked"))
    torch.save({"tensor": _Attack()}, tmp_path / "weights.pth")
    with pytest.raises(FeaturesUnavailable, match="RINGSIDE_INCEPTION_WEIGHTS"):
        load(packed(images(noise(30, 8, 8, 1))), tmp_path / "weights.pth")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [None, b"", b"no weights"])
def test_a_file_that_is_missing_or_no_weights_is_refused(packed, tmp_path, content):
    path = tmp_path / "weights.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FeaturesUnavailable) as refusal:
        load(packed(images(noise(30, 8, 8, 1))), path)
    assert refusal.value.code == "inception_weights_unreadable"
    assert str(tmp_path) not in refusal.value.detail


def test_without_the_library_the_extra_is_named(packed, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(
        FeaturesUnavailable, match=r"pip install 'ringside\[inception\]'"
    ) as refusal:
        load(packed(images(noise(30, 8, 8, 1))), tmp_path / "weights.pth")
    assert refusal.value.code == "inception_not_installed"
