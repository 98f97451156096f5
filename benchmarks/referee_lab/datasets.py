"""Datasets of the planted matches, packed once into a temporary directory."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.running import DATA
from ganmodels.data.arrays import read_npz
from ganmodels.data.builtin import BUILTIN
from ganmodels.data.packed import PackedDataset, open_packed, pack
from ganmodels.data.readers import read_file
from ganmodels.data.stream import ItemStream

_HOME = Path(tempfile.gettempdir()) / "ringside-referee-datasets"


@cache
def dataset(name: str) -> PackedDataset | None:
    """A dataset by its name; None where its files are not on this machine.

    ``digits``, ``ring``, ``grid``; ``mnist``, ``fashion``; ``mnist:200`` for the first 200 items;
    ``black`` for 500 black images.
    """
    target = _HOME / name
    if not (target / "manifest.json").exists():
        stream = _stream(name)
        if stream is None:
            return None
        pack(stream, target)
    return open_packed(target)


def _stream(name: str) -> ItemStream | None:
    base, _, count = name.partition(":")
    if count:
        whole = dataset(base)
        return None if whole is None else _first(whole, int(count), name)
    if base == "black":
        return _arrays(name, np.zeros((500, 16, 16, 1), np.uint8), None)
    if base in BUILTIN:
        return BUILTIN[base]()
    folder = DATA / {"mnist": "mnist", "fashion": "fashion-mnist"}[base]
    images = folder / "train-images-idx3-ubyte.gz"
    if not images.exists():
        return None
    return read_file(images, folder / "train-labels-idx1-ubyte.gz")


def _first(whole: PackedDataset, count: int, name: str) -> ItemStream:
    labels = None if whole.labels is None else np.array(whole.labels[:count])
    return _arrays(name, np.array(whole.items[:count]), labels)


def _arrays(name: str, items: np.ndarray, labels: np.ndarray | None) -> ItemStream:
    path = _HOME / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=items, **({} if labels is None else {"labels": labels}))
    return read_npz(path)
