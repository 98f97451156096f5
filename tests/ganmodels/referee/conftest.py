"""Packed data sets that tests share, and the classifier of digits, which takes seconds."""

import pytest

from ganmodels.data.builtin import BUILTIN
from ganmodels.data.packed import PackedDataset, open_packed, pack
from ganmodels.referee.features.loading import Features, load_features
from tests.ganmodels.builders import CPU


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    def dataset(stream) -> PackedDataset:
        directory = tmp_path_factory.mktemp("packed")
        pack(stream, directory)
        return open_packed(directory)

    return dataset


@pytest.fixture(scope="session")
def digits(packed) -> PackedDataset:
    return packed(BUILTIN["digits"]())


@pytest.fixture(scope="session")
def ring(packed) -> PackedDataset:
    return packed(BUILTIN["ring"]())


@pytest.fixture(scope="session")
def classifier(digits) -> Features:
    return load_features("classifier", digits, None, None, CPU)


@pytest.fixture(scope="session")
def random_features(digits) -> Features:
    return load_features("random", digits, None, None, CPU)
