"""Datasets that change while they are used, and nothing slow while everybody waits for them."""

import numpy as np
import pytest

from ganmodels.data.packed import PackedDataset
from worker.errors import NotFound
from worker.store import datasets, locks
from worker.store.files import remove_directory


@pytest.fixture
def imported(store, tmp_path):
    """Imports the same small file, as often as wanted."""
    upload = tmp_path / "images.npy"
    np.save(upload, np.zeros((24, 8, 8), dtype=np.uint8))
    return lambda: store.datasets.import_upload(upload, None, None, None, 60)


def test_a_dataset_is_hashed_while_nobody_waits(store, imported, monkeypatch):
    imported()
    monkeypatch.setattr(locks, "_TIMEOUT_SECONDS", 0.05)
    verify, looked = PackedDataset.verify, []

    def look(dataset):
        with store.datasets.kept():
            looked.append(dataset.manifest.id)
        verify(dataset)

    monkeypatch.setattr(PackedDataset, "verify", look)
    manifest, is_new = imported()
    assert not is_new
    assert manifest.id in looked


def test_a_dataset_that_is_deleted_while_it_is_hashed_is_put_there_again(
    store, imported, monkeypatch
):
    first, _ = imported()
    verify = PackedDataset.verify

    def verify_then_lose(dataset):
        verify(dataset)
        remove_directory(store.home / "datasets" / first.id)

    monkeypatch.setattr(PackedDataset, "verify", verify_then_lose)
    manifest, is_new = imported()
    assert is_new
    verify(store.datasets.get(manifest.id))


def test_a_dataset_that_is_deleted_while_it_is_opened_is_not_found(store, imported, monkeypatch):
    manifest, _ = imported()
    open_packed = datasets.open_packed

    def lose_then_open(directory):
        remove_directory(directory)
        return open_packed(directory)

    monkeypatch.setattr(datasets, "open_packed", lose_then_open)
    with pytest.raises(NotFound):
        store.datasets.get(manifest.id)
