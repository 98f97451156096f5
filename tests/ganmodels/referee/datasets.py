"""Small datasets for tests of the referee."""

from pathlib import Path

import numpy as np

from ganmodels.data.arrays import read_npz
from ganmodels.data.builtin import BUILTIN
from ganmodels.data.packed import PackedDataset, open_packed, pack


def packed(directory: Path, images: np.ndarray, labels: np.ndarray | None = None) -> PackedDataset:
    """Images uint8 [n, h, w, c] as a dataset."""
    given = {} if labels is None else {"labels": labels}
    np.savez(directory.with_suffix(".npz"), images=images, **given)
    pack(read_npz(directory.with_suffix(".npz")), directory)
    return open_packed(directory)


def builtin(directory: Path, name: str) -> PackedDataset:
    """One of the built-in datasets."""
    pack(BUILTIN[name](), directory)
    return open_packed(directory)
