"""MNIST as arrays: the four original files, read once a process."""

import gzip
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.running import DATA

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

FOLDER = DATA / "mnist"


class Mnist(NamedTuple):
    """60,000 training and 10,000 test images [n, 28, 28] in 0..255, with labels [n]."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


@cache
def mnist() -> Mnist:
    """The dataset.

    Raises:
        SystemExit: where its files are not on this machine.
    """
    if not FOLDER.exists():
        raise SystemExit(f"MNIST is read from {FOLDER}, which is not there")
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    arrays = [read_idx(FOLDER / f"{name}-ubyte.gz") for name in names]
    return Mnist(arrays[0], arrays[1].astype(np.int64), arrays[2], arrays[3].astype(np.int64))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
