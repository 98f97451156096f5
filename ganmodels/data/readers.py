"""From any uploaded file to an ItemStream; its kind is told by its bytes, never by its name."""

import gzip
from pathlib import Path
from typing import Literal

from ganmodels.data.archive import is_image_name, read_archive
from ganmodels.data.arrays import NPY_MAGIC, open_npy, read_npy, read_npz
from ganmodels.data.blocks import StoredArray
from ganmodels.data.errors import DataError
from ganmodels.data.idx import GZIP_MAGIC, is_idx_header, open_idx, read_idx
from ganmodels.data.limits import DEFAULT_LIMITS, Limits
from ganmodels.data.safezip import list_names
from ganmodels.data.stream import ItemStream

Kind = Literal["archive", "idx", "npy", "npz"]

_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")


def read_file(
    path: Path, labels_path: Path | None = None, limits: Limits = DEFAULT_LIMITS
) -> ItemStream:
    """Read a ZIP of images, IDX (plain or gzip), NPY or NPZ file.

    ``labels_path`` is an IDX or NPY file of integers; it goes with IDX and NPY only, for the
    others say their labels themselves.

    Raises: DataError ``unsupported_format``, ``label_conflict`` and those of the readers.
    """
    kind = detect_kind(path, limits)
    if labels_path is not None and kind in ("archive", "npz"):
        raise DataError(
            "label_conflict",
            "A labels file goes with IDX and NPY files only; a ZIP has class folders and an "
            "NPZ its own array 'labels'.",
        )
    labels = _open_labels(labels_path, limits) if labels_path else None
    match kind:
        case "archive":
            return read_archive(path, limits)
        case "npz":
            return read_npz(path, limits)
        case "npy":
            return read_npy(path, labels, limits)
        case "idx":
            return read_idx(path, labels, limits)


def detect_kind(path: Path, limits: Limits = DEFAULT_LIMITS) -> Kind:
    """The kind of a file by its first bytes; a ZIP with arrays and no images is an NPZ.

    Raises: DataError ``unsupported_format``, ``not_an_archive``, ``too_many_entries``.
    """
    with path.open("rb") as file:
        start = file.read(len(NPY_MAGIC))
    if start.startswith(_ZIP_MAGICS):
        names = [name.lower() for name in list_names(path, limits)]
        has_images = any(is_image_name(name.decode("latin-1")) for name in names)
        has_arrays = any(name.endswith(b".npy") for name in names)
        return "npz" if has_arrays and not has_images else "archive"
    if start == NPY_MAGIC:
        return "npy"
    if is_idx_header(start[:4]) or (start.startswith(GZIP_MAGIC) and _is_gzip_of_idx(path)):
        return "idx"
    raise DataError(
        "unsupported_format",
        "The file is none of: ZIP of images, IDX (plain or gzip), NPY, NPZ; convert it.",
    )


def _is_gzip_of_idx(path: Path) -> bool:
    try:
        with gzip.open(path, "rb") as file:
            return is_idx_header(file.read(4))
    # EOFError, zlib.error, BadGzipFile, struct.error: damaged, so no IDX.
    except Exception:
        return False


def _open_labels(path: Path, limits: Limits) -> StoredArray:
    kind = detect_kind(path, limits)
    if kind == "idx":
        return open_idx(path)
    if kind == "npy":
        return open_npy(path, limits)
    raise DataError(
        "unsupported_format", "The labels file must be IDX or NPY: one integer for each item."
    )
