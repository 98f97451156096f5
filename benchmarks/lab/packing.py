"""Arrays as datasets that a match can be played on, packed once into a temporary directory."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.lab.mnist import Images, Labels
from ganmodels.data.arrays import read_npz
from ganmodels.data.packed import PackedDataset, open_packed, pack

_HOME = Path(tempfile.gettempdir()) / "ringside-benchmark-datasets"


def packed_images(images: Images, labels: Labels | None = None) -> PackedDataset:
    """Images [n, height, width] in 0..255; the directory is named by a hash of the content."""
    digest = hashlib.sha256(f"{images.shape}".encode() + images.tobytes())
    digest.update(b"" if labels is None else labels.tobytes())
    target = _HOME / digest.hexdigest()[:32]
    if not (target / "manifest.json").exists():
        _pack(images, labels, target)
    return open_packed(target)


def _pack(images: Images, labels: Labels | None, target: Path) -> None:
    """Two processes that pack at once leave one whole directory."""
    _HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_HOME) as folder:
        path, part = Path(folder) / "images.npz", Path(folder) / "packed"
        np.savez(path, images=images, **({} if labels is None else {"labels": labels}))
        pack(read_npz(path), part)
        try:
            os.rename(part, target)
        except OSError:
            if not (target / "manifest.json").exists():
                raise
