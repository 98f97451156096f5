"""Claims about the built-in datasets."""

from pathlib import Path

import numpy as np
import pytest

from ganmodels.data.builtin import BUILTIN, digits
from ganmodels.data.packed import open_packed, pack
from ganmodels.spaces import ImageSpace, PointSpace


def test_digits_are_real_labelled_and_enlarged(tmp_path: Path) -> None:
    manifest = pack(digits(), tmp_path)
    names = tuple(str(digit) for digit in range(10))
    assert manifest.space == ImageSpace(height=16, width=16, channels=1, classes=names)
    assert manifest.count == 1797
    assert [(size.height, size.width) for size in manifest.report.original_sizes] == [(8, 8)]
    assert "8x8" in manifest.report.resize_rule
    assert "16x16" in manifest.report.resize_rule
    items = open_packed(tmp_path).items
    assert (items.min(), items.max()) == (0, 255)


@pytest.mark.parametrize(
    ("name", "modes", "sigma"),
    [("ring", 8, 0.01), ("grid", 25, 0.05)],
)
def test_points_lie_around_their_modes(tmp_path: Path, name: str, modes: int, sigma: float) -> None:
    manifest = pack(BUILTIN[name](), tmp_path)
    assert isinstance(manifest.space, PointSpace)
    assert (manifest.count, manifest.space.classes) == (100_000, ())
    points = np.asarray(open_packed(tmp_path).items, dtype=np.float64)
    if name == "ring":
        centres = np.exp(2j * np.pi * np.round(np.angle(points @ [1, 1j]) * 4 / np.pi) / 8)
        nearest = np.stack([centres.real, centres.imag], axis=1)
    else:
        nearest = np.clip(np.rint(points / 2) * 2, -4, 4)
    np.testing.assert_allclose((points - nearest).std(), sigma, rtol=0.01)
    _, counts = np.unique(np.round(nearest, 6) + 0.0, axis=0, return_counts=True)
    assert len(counts) == modes
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_datasets_never_change(tmp_path: Path, name: str) -> None:
    assert pack(BUILTIN[name](), tmp_path).id == IDS[name]


IDS = {
    "digits": "ds_6a20c9295bdca7975316ff2db65ce2c7",
    "ring": "ds_a92646334afb94911c8c6503a32a7a6f",
    "grid": "ds_f906dff41ef916df90da97c2a1551e64",
}
