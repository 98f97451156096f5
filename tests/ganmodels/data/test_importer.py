"""Claims about importing in a limited child process."""

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ganmodels.data.errors import DataError
from ganmodels.data.importer import import_file
from ganmodels.data.limits import Limits
from ganmodels.data.packed import open_packed
from ganmodels.spaces import ImageSpace

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not there")
    return path


def save(path: Path, array: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, array)
    return path


def refusal(source: Path, output: Path, **options: float) -> DataError:
    with pytest.raises(DataError) as caught:
        import_file(source, None, output, **options)  # type: ignore[arg-type]
    assert not output.exists() or list(output.iterdir()) == []
    return caught.value


def test_child_packs_what_the_parent_can_open(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    source = save(tmp_path / "x", images)
    labels = save(tmp_path / "y", np.arange(30) % 3)
    manifest = import_file(source, labels, tmp_path / "d", size=(16, 12))
    dataset = open_packed(tmp_path / "d")
    dataset.verify()
    assert dataset.manifest == manifest
    assert manifest.space == ImageSpace(height=16, width=12, channels=1, classes=("0", "1", "2"))


def test_refusals_cross_the_process_border_whole(tmp_path: Path) -> None:
    source = tmp_path / "x"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("../evil.png", b"")
    error = refusal(source, tmp_path / "d")
    assert error.code == "zip_slip"
    assert "evil.png" in error.detail
    assert str(tmp_path) not in error.detail


def test_limits_reach_the_child(tmp_path: Path) -> None:
    source = save(tmp_path / "x", np.zeros((30, 8, 8), dtype=np.uint8))
    with pytest.raises(DataError) as caught:
        import_file(source, None, tmp_path / "d", limits=Limits(max_items=29))
    assert (caught.value.code, caught.value.limit) == ("too_many_items", 29)


def test_import_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    source = save(tmp_path / "x", np.zeros((30, 8, 8), dtype=np.uint8))
    began = time.monotonic()
    assert refusal(source, tmp_path / "d", timeout_seconds=0.05).code == "import_timeout"
    assert time.monotonic() - began < 2


def test_import_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    images = np.zeros((2, 1500, 2000, 3), dtype=np.float64)
    source = save(tmp_path / "x", images)
    error = refusal(source, tmp_path / "d", memory_bytes=200 << 20)
    assert error.code == "import_out_of_memory"


def test_missing_input_is_unreadable_not_a_crash(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing", tmp_path / "d").code == "unreadable_data"


def test_explicit_kind_must_match(tmp_path: Path) -> None:
    source = save(tmp_path / "x", np.zeros((30, 8, 8), dtype=np.uint8))
    options = [f"--input={source}", f"--output={tmp_path / 'd'}"]
    command = [sys.executable, "-m", "ganmodels.data.importer", "--kind=idx", *options]
    result = subprocess.run(command, capture_output=True, cwd=ROOT, check=False)
    assert result.returncode == 3
    assert b'"kind_mismatch"' in result.stdout


def test_readers_load_neither_torch_nor_the_service() -> None:
    program = (
        "import sys, ganmodels.data.importer, ganmodels.data.builtin; "
        "print({'torch', 'fastapi', 'redis', 'sklearn'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT)
    assert result.stdout == b"set()\n"


@pytest.mark.slow  # A clock tells nothing beside other tests.
def test_mnist_imports_in_under_three_seconds(tmp_path: Path) -> None:
    images, labels = (
        shared(f"mnist/train-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    began = time.monotonic()
    manifest = import_file(images, labels, tmp_path)
    assert time.monotonic() - began < 3
    counts = [entry.count for entry in manifest.report.class_histogram]
    assert counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (manifest.count, manifest.held_out_count) == (60_000, 2000)


def test_cifar_archive_takes_its_classes_from_the_direct_folders(tmp_path: Path) -> None:
    manifest = import_file(shared("cifar10/cifar10_subset_jpeg.zip"), None, tmp_path)
    assert manifest.count == 12_000
    assert manifest.space == ImageSpace(
        height=32,
        width=32,
        channels=3,
        classes=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
    )
    assert {entry.count for entry in manifest.report.class_histogram} == {1200}
