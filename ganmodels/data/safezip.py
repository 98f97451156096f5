"""ZIP files from strangers: every rule about the container, none about its contents.

Nothing is ever extracted to disk. CPython's own checks are not relied on: 3.11.7 has none for
overlapping entries (CVE-2024-0450).
"""

import re
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile, ZipInfo

from ganmodels.data.errors import DataError, printable
from ganmodels.data.limits import Limits

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL_HEADER_BYTES = 30
# Encrypted, patched data, strong encryption, masked headers.
_REFUSED_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def list_names(path: Path, limits: Limits) -> list[bytes]:
    """Raw names in the central directory, counted against the limit before zipfile parses it.

    zipfile needs about 9 microseconds and 1 kB for each entry; this walk a tenth of it.
    """
    with path.open("rb") as file:
        directory = _read_directory(file, limits)
    names: list[bytes] = []
    position = 0
    while position + _ENTRY.size <= len(directory):
        fields = _ENTRY.unpack_from(directory, position)
        if fields[0] != b"PK\x01\x02":
            raise _damaged()
        if len(names) == limits.max_entries:
            raise _too_many(limits)
        start = position + _ENTRY.size
        names.append(directory[start : start + fields[10]])
        position = start + fields[10] + fields[11] + fields[12]
    return names


def open_zip(path: Path, limits: Limits) -> ZipFile:
    """Open for reading; too large a directory and damage of any kind are a DataError."""
    list_names(path, limits)
    try:
        return ZipFile(path)
    # BadZipFile, but also NotImplementedError, UnicodeDecodeError, struct.error, ...
    except Exception:
        raise _damaged() from None


def checked_members(
    archive: ZipFile, limits: Limits, is_read: Callable[[str], bool] = bool
) -> list[ZipInfo]:
    """All entries that are files, after the whole directory passed every rule.

    How large they may be is a matter of those alone whose name ``is_read``: others stay closed.

    Raises: DataError ``too_many_entries``, ``zip_slip``, ``zip_link``, ``zip_encrypted``,
    ``zip_method_unsupported``, ``zip_duplicate_name``, ``zip_overlap``, ``zip_bomb``.
    """
    entries = archive.infolist()
    if len(entries) > limits.max_entries:
        raise _too_many(limits)
    for entry in entries:
        _check_name(entry)
        _check_type(entry)
        _check_readable(entry)
    _check_distinct(entries)
    _check_overlap(entries, archive.start_dir)
    opened = [entry for entry in entries if is_read(member_name(entry))]
    for entry in opened:
        _check_bytes(entry, limits)
    _check_total(opened, limits)
    return [entry for entry in entries if not entry.is_dir()]


def member_name(entry: ZipInfo) -> str:
    """An entry's name with forward slashes, and UTF-8 restored where its flag is missing."""
    name = entry.orig_filename
    if not entry.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def read_member(archive: ZipFile, entry: ZipInfo) -> bytes:
    """The bytes of one checked entry: never more than it declares, never fewer.

    Raises: DataError ``unreadable_member``.
    """
    try:
        with archive.open(entry) as member:
            data = member.read(entry.file_size + 1)
    # BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error, ...
    except Exception:
        raise _bad_member() from None
    if len(data) != entry.file_size:
        raise _bad_member()
    return data


def _read_directory(file: BinaryIO, limits: Limits) -> bytes:
    end_of_file = file.seek(0, 2)
    tail_start = max(0, end_of_file - _END.size - 0xFFFF)
    file.seek(tail_start)
    tail = file.read()
    # As zipfile does: an end record without comment first, else the last one anywhere.
    at = len(tail) - _END.size
    if not (at >= 0 and tail[at : at + 4] == b"PK\x05\x06" and tail[-2:] == b"\0\0"):
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise _damaged()
    size, end = _END.unpack_from(tail, at)[5], tail_start + at
    size_64 = _directory_size_64(file, end)
    if size_64 is not None:
        size, end = size_64, end - _LOCATOR.size - _END_64.size
    if size > limits.max_directory_bytes:
        raise _too_many(limits)
    if size > end:
        raise _damaged()
    file.seek(end - size)
    return file.read(size)


def _directory_size_64(file: BinaryIO, end: int) -> int | None:
    """The directory's size in a ZIP64 end record, if there is one before ``end``."""
    start = end - _LOCATOR.size - _END_64.size
    if start < 0:
        return None
    file.seek(start)
    record = file.read(_END_64.size + _LOCATOR.size)
    if record[_END_64.size : _END_64.size + 4] != b"PK\x06\x07" or record[:4] != b"PK\x06\x06":
        return None
    return int(_END_64.unpack_from(record)[8])


def _check_name(entry: ZipInfo) -> None:
    name = entry.orig_filename.replace("\\", "/")
    escapes = name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name)
    if escapes or "\0" in name or not name:
        raise DataError(
            "zip_slip",
            f"The archive names the file {printable(name)!r}, which leaves its folder; "
            "zip the folder again with relative names.",
        )


def _check_type(entry: ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(
            "zip_link",
            f"The archive entry {printable(entry.filename)!r} is a link or device; "
            "zip the files themselves.",
        )


def _check_readable(entry: ZipInfo) -> None:
    if entry.flag_bits & _REFUSED_FLAGS:
        raise DataError(
            "zip_encrypted",
            f"The archive entry {printable(entry.filename)!r} is encrypted; "
            "zip it again without a password.",
        )
    if entry.compress_type not in _METHODS:
        raise DataError(
            "zip_method_unsupported",
            f"The archive entry {printable(entry.filename)!r} uses compression method "
            f"{entry.compress_type}; use store or deflate.",
        )


def _check_bytes(entry: ZipInfo, limits: Limits) -> None:
    if entry.file_size > limits.max_entry_bytes:
        raise DataError(
            "zip_bomb",
            f"The archive entry {printable(entry.filename)!r} unpacks to {entry.file_size} "
            f"bytes; at most {limits.max_entry_bytes} are allowed: leave it out.",
            limits.max_entry_bytes,
        )
    is_large = entry.file_size > limits.ratio_free_bytes
    if is_large and entry.file_size > limits.max_entry_ratio * entry.compress_size:
        raise DataError(
            "zip_bomb",
            f"The archive entry {printable(entry.filename)!r} unpacks to more than "
            f"{limits.max_entry_ratio} times its size; store it uncompressed.",
            limits.max_entry_ratio,
        )


def _check_distinct(entries: list[ZipInfo]) -> None:
    if len({entry.filename for entry in entries}) == len(entries):
        return
    name, times = Counter(entry.filename for entry in entries).most_common(1)[0]
    raise DataError(
        "zip_duplicate_name",
        f"The archive holds {printable(name)!r} {times} times; give each file its own name.",
    )


def _check_overlap(entries: list[ZipInfo], directory_start: int) -> None:
    """Each entry's header, name and data must end before the next one begins."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    starts = [entry.header_offset for entry in ordered[1:]] + [directory_start]
    for entry, next_start in zip(ordered, starts, strict=False):
        encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
        name_bytes = len(entry.orig_filename.encode(encoding, "replace"))
        end = entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + entry.compress_size
        if end > next_start:
            raise DataError(
                "zip_overlap",
                f"The archive entry {printable(entry.filename)!r} overlaps another; "
                "zip the folder again.",
            )


def _check_total(entries: list[ZipInfo], limits: Limits) -> None:
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if unpacked > limits.max_unpacked_bytes:
        raise DataError(
            "zip_bomb",
            f"The archive unpacks to {unpacked} bytes; at most {limits.max_unpacked_bytes} "
            "are allowed: import it in parts.",
            limits.max_unpacked_bytes,
        )
    if unpacked > limits.ratio_free_bytes and unpacked > limits.max_archive_ratio * packed:
        raise DataError(
            "zip_bomb",
            f"The archive unpacks to more than {limits.max_archive_ratio} times its size; "
            "store the files uncompressed.",
            limits.max_archive_ratio,
        )


def _too_many(limits: Limits) -> DataError:
    return DataError(
        "too_many_entries",
        f"The archive has more than {limits.max_entries} entries; import it in parts or as NPZ.",
        limits.max_entries,
    )


def _damaged() -> DataError:
    return DataError(
        "not_an_archive", "The file is not a ZIP archive or is damaged; create it again."
    )


def _bad_member() -> DataError:
    return DataError("unreadable_member", "The entry is damaged inside the archive; zip it again.")
