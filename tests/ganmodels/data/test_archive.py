"""Claims about ZIP archives of images: labels, what is skipped, what is refused."""

import stat
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganmodels.data.archive import folder_classes, read_archive
from ganmodels.data.errors import DataError
from ganmodels.data.limits import Limits
from ganmodels.data.packed import pack
from ganmodels.data.readers import read_file
from ganmodels.data.stream import Chunk, ImageFacts, ItemStream


def png(value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    buffer = BytesIO()
    Image.new(mode, size, value).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(path: Path, members: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def patch(path: Path, signature: bytes, which: int, offset: int, packed: bytes) -> None:
    """Overwrite a field of the n-th record that begins with a signature."""
    data = bytearray(path.read_bytes())
    position = -1
    for _ in range(which + 1):
        position = data.index(signature, position + 1)
    data[position + offset : position + offset + len(packed)] = packed
    path.write_bytes(bytes(data))


def chunks(stream: ItemStream) -> list[Chunk]:
    return list(stream.chunks())


def labels(stream: ItemStream) -> list[int]:
    return [int(chunk.labels[0]) for chunk in stream.chunks() if chunk.labels is not None]


def refuse(path: Path, limits: Limits | None = None) -> DataError:
    with pytest.raises(DataError) as refusal:
        chunks(read_file(path, limits=limits or Limits()))
    assert str(path.parent) not in refusal.value.detail
    return refusal.value


def three_images() -> dict[str, bytes]:
    return {f"{index}.png": png(index) for index in range(3)}


def test_images_at_the_root_have_no_labels(tmp_path: Path) -> None:
    stream = read_archive(write_zip(tmp_path / "a.zip", three_images()))
    assert stream.classes == ()
    assert [int(chunk.values[0, 0, 0, 0]) for chunk in chunks(stream)] == [0, 1, 2]


def test_images_of_a_single_folder_have_no_labels(tmp_path: Path) -> None:
    members = {f"faces/{name}": data for name, data in three_images().items()}
    assert read_archive(write_zip(tmp_path / "a.zip", members)).classes == ()


def test_class_folders_become_labels_in_archive_order(tmp_path: Path) -> None:
    members = {"my/dog/1.png": png(), "my/cat/1.png": png(), "my/dog/2.png": png()}
    stream = read_archive(write_zip(tmp_path / "a.zip", members))
    assert stream.classes == ("cat", "dog")
    assert labels(stream) == [1, 0, 1]


def test_equal_folder_names_under_different_parents_are_one_class(tmp_path: Path) -> None:
    members = {"train/cat/1.png": png(), "train/dog/1.png": png(), "test/cat/1.png": png()}
    stream = read_archive(write_zip(tmp_path / "a.zip", members))
    assert stream.classes == ("cat", "dog")
    assert labels(stream) == [0, 1, 0]


def test_integer_classes_are_in_numeric_order() -> None:
    names = [f"{number}/a.png" for number in (10, 9, 1, 2)]
    assert folder_classes(names, Limits()) == ("1", "2", "9", "10")
    assert folder_classes([*names, "x/a.png"], Limits()) == ("1", "10", "2", "9", "x")


@pytest.mark.parametrize("folders", [("train", "test"), ("Train", "Test"), ("TRAIN", "val")])
def test_train_and_test_folders_are_no_classes(folders: tuple[str, str]) -> None:
    assert folder_classes([f"{folder}/1.png" for folder in folders], Limits()) == ()


def test_a_class_of_which_no_image_can_be_read_is_refused(tmp_path: Path) -> None:
    # Its header is sound, so that it is missed in the second pass only.
    torn = png(3, (64, 64), "RGB")[:-40]
    members = {f"a/{index}.png": png(index) for index in range(30)} | {"b/1.png": torn}
    path = write_zip(tmp_path / "x", members)
    with pytest.raises(DataError, match="class 'b'") as refusal:
        pack(read_archive(path), tmp_path / "packed")
    assert refusal.value.code == "class_empty"


@pytest.mark.parametrize("stray", ["1.png", "data/1.png", "data/cat/deeper/1.png"])
def test_mixed_folders_are_refused(stray: str) -> None:
    with pytest.raises(DataError) as refusal:
        folder_classes(["data/cat/1.png", "data/dog/1.png", stray], Limits())
    assert refusal.value.code == "mixed_folders"


def test_too_many_classes_are_refused() -> None:
    names = [f"{number}/1.png" for number in range(5)]
    with pytest.raises(DataError) as refusal:
        folder_classes(names, Limits(max_classes=4))
    assert (refusal.value.code, refusal.value.limit) == ("too_many_classes", 4)


@pytest.mark.parametrize("name", ["x" * 101, "a\x1b[31m"])
def test_unfit_class_names_are_refused(name: str) -> None:
    with pytest.raises(DataError) as refusal:
        folder_classes([f"{name}/1.png", "b/1.png"], Limits())
    assert refusal.value.code == "class_name_invalid"
    assert refusal.value.detail.isprintable()


def test_utf8_names_without_their_flag_are_restored(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"k\u00e4se/1.png": png(), "brot/1.png": png()})
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        patch(path, signature, 0, offset, b"\0\0")
    assert read_archive(path).classes == ("brot", "k\u00e4se")


@pytest.mark.parametrize(
    ("modes", "channels"),
    [(["L", "L"], 1), (["L", "RGB"], 3), (["LA", "L"], 4), (["RGBA", "RGB"], 4)],
)
def test_channels_keep_what_any_image_shows(
    tmp_path: Path, modes: list[str], channels: int
) -> None:
    members = {f"{index}.png": png(0, mode=mode) for index, mode in enumerate(modes)}
    facts = read_archive(write_zip(tmp_path / "a.zip", members)).facts
    assert isinstance(facts, ImageFacts)
    assert facts.channels == channels


def test_fully_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(buffer, "PNG")
    members = {"a.png": buffer.getvalue(), "b.png": png(mode="RGB")}
    facts = read_archive(write_zip(tmp_path / "a.zip", members)).facts
    assert isinstance(facts, ImageFacts)
    assert facts.channels == 3


def test_mixed_sizes_are_counted(tmp_path: Path) -> None:
    members = {"a.png": png(size=(8, 9)), "b.png": png(size=(8, 9)), "c.png": png(size=(20, 10))}
    facts = read_archive(write_zip(tmp_path / "a.zip", members)).facts
    assert isinstance(facts, ImageFacts)
    assert facts.sizes == {(9, 8): 2, (10, 20): 1}


def test_clutter_is_skipped_and_counted(tmp_path: Path) -> None:
    clutter = ["__MACOSX/._0.png", ".hidden.png", ".git/1.png", "Thumbs.db", "readme.txt"]
    members = three_images() | {name: b"clutter" for name in clutter}
    stream = read_archive(write_zip(tmp_path / "a.zip", members))
    assert (stream.count, stream.findings.skipped) == (3, 5)


def test_a_few_unreadable_images_are_listed_not_fatal(tmp_path: Path) -> None:
    members = {f"{index:03}.png": png(index) for index in range(60)}
    members["007.png"] = b"no image"
    members["041.png"] = png(size=(64, 64))[:-30]
    stream = read_archive(write_zip(tmp_path / "a.zip", members))
    assert len(chunks(stream)) == 58
    assert [name for name, _ in stream.findings.unreadable] == ["007.png", "041.png"]


def test_too_many_unreadable_images_are_refused(tmp_path: Path) -> None:
    members = {f"{index}.png": png(index) for index in range(18)} | {"bad.png": b"no image"}
    error = refuse(write_zip(tmp_path / "a.zip", members))
    assert (error.code, error.limit) == ("data_too_dirty", 5)
    assert "bad.png" in error.detail


def test_unreadable_list_is_bounded_but_count_is_not(tmp_path: Path) -> None:
    members = {f"bad{index}.png": b"" for index in range(9)} | three_images()
    limits = Limits(max_listed=4, max_unreadable_percent=100)
    findings = read_archive(write_zip(tmp_path / "a.zip", members), limits).findings
    assert (findings.unreadable_count, len(findings.unreadable)) == (9, 4)


@pytest.mark.parametrize("members", [{}, {"a.txt": b"x"}, {"1.png": png()}])
def test_fewer_than_two_images_are_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    assert refuse(write_zip(tmp_path / "a.zip", members)).code == "too_few_items"


def test_decompression_bomb_image_counts_as_unreadable(tmp_path: Path) -> None:
    members = {f"{index}.png": png(index) for index in range(40)}
    members["bomb.png"] = png(mode="1", size=(8000, 8000))
    findings = read_archive(write_zip(tmp_path / "a.zip", members)).findings
    assert findings.unreadable[0][0] == "bomb.png"
    assert "8000x8000" in findings.unreadable[0][1]


def test_nested_archives_are_skipped(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", three_images()).read_bytes()
    stream = read_archive(write_zip(tmp_path / "a.zip", three_images() | {"inner.zip": inner}))
    assert (stream.count, stream.findings.skipped) == (3, 1)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "C:\\evil.png",
        "..\\evil.png",
        "a\\..\\b.png",
    ],
)
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "a.zip", three_images() | {name: png()})
    assert refuse(path).code == "zip_slip"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in three_images().items():
            archive.writestr(name, data)
        entry = zipfile.ZipInfo("link.png")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert refuse(path).code == "zip_link"


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_encrypted_entries_are_refused(tmp_path: Path, flag: int) -> None:
    path = write_zip(tmp_path / "a.zip", three_images())
    patch(path, b"PK\x01\x02", 1, 8, struct.pack("<H", flag))
    assert refuse(path).code == "zip_encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_compression_is_refused(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "a.zip", three_images(), compression=method)
    assert refuse(path).code == "zip_method_unsupported"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for value in range(3):
            archive.writestr("same.png", png(value))
    assert refuse(path).code == "zip_duplicate_name"


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", three_images())
    patch(path, b"PK\x01\x02", 2, 42, struct.pack("<L", 0))
    assert refuse(path).code == "zip_overlap"


def test_entry_that_runs_into_the_next_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", three_images())
    patch(path, b"PK\x01\x02", 0, 20, struct.pack("<L", len(png()) + 10))
    assert refuse(path).code == "zip_overlap"


def test_a_large_file_that_is_not_read_harms_nobody(tmp_path: Path) -> None:
    limits = Limits(max_entry_bytes=1000)
    members = {
        **three_images(),
        "annotations.json": bytes(2000),
        "deep/__MACOSX/a.png": bytes(2000),
    }
    stream = read_archive(write_zip(tmp_path / "x", members), limits)
    assert len(chunks(stream)) == 3
    assert stream.findings.skipped == 2
    assert refuse(write_zip(tmp_path / "y", {"a.png": bytes(2000)}), limits).code == "zip_bomb"


def test_one_entry_of_extreme_ratio_is_a_bomb(tmp_path: Path) -> None:
    members = three_images() | {"bomb.bmp": bytes(3 << 20)}
    error = refuse(write_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED))
    assert (error.code, error.limit) == ("zip_bomb", Limits().max_entry_ratio)


def test_many_entries_of_extreme_ratio_are_a_bomb(tmp_path: Path) -> None:
    members = {f"{index}.bmp": bytes(1 << 20) for index in range(4)}
    error = refuse(write_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED))
    assert (error.code, error.limit) == ("zip_bomb", Limits().max_archive_ratio)


def test_small_flat_images_of_extreme_ratio_are_fine(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (256, 256)).save(buffer, "BMP")
    members = {"a.bmp": buffer.getvalue(), "b.bmp": buffer.getvalue()}
    path = write_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED)
    assert read_archive(path).count == 2


@pytest.mark.parametrize("limits", [Limits(max_entry_bytes=70), Limits(max_unpacked_bytes=150)])
def test_unpacked_sizes_are_bounded(tmp_path: Path, limits: Limits) -> None:
    assert refuse(write_zip(tmp_path / "a.zip", three_images()), limits).code == "zip_bomb"


@pytest.mark.parametrize("lie", [1, 10_000])
def test_lying_about_a_size_makes_the_entry_unreadable(tmp_path: Path, lie: int) -> None:
    path = write_zip(tmp_path / "a.zip", three_images(), compression=zipfile.ZIP_DEFLATED)
    patch(path, b"PK\x01\x02", 1, 24, struct.pack("<L", lie))
    stream = read_archive(path, Limits(max_unreadable_percent=100))
    assert [name for name, _ in stream.findings.unreadable] == ["1.png"]


def test_damaged_member_is_unreadable_by_its_checksum(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", three_images())
    patch(path, b"PK\x03\x04", 1, 30 + 5 + 50, b"\xff\xff")
    stream = read_archive(path, Limits(max_unreadable_percent=100))
    assert [name for name, _ in stream.findings.unreadable] == ["1.png"]


def empty_entries(path: Path, count: int) -> Path:
    """An archive of many empty files, built by hand because zipfile takes seconds."""
    local, directory = bytearray(), bytearray()
    for index in range(count):
        name = b"%06d.png" % index
        directory += struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            20,
            20,
            0,
            0,
            0,
            33,
            0,
            0,
            0,
            10,
            0,
            0,
            0,
            0,
            0,
            len(local),
        )
        directory += name
        local += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 10, 0) + name
    # The count has 16 bits; readers go by the directory's size.
    count_field = min(count, 0xFFFE)
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, count_field, count_field, len(directory), len(local), 0
    )
    path.write_bytes(bytes(local + directory + end))
    return path


def test_a_hundred_thousand_entries_are_refused_by_count(tmp_path: Path) -> None:
    path = empty_entries(tmp_path / "a.zip", 100_000)
    error = refuse(path, Limits(max_entries=99_999))
    assert (error.code, error.limit) == ("too_many_entries", 99_999)


def test_tens_of_thousands_of_empty_files_are_refused_as_dirty(tmp_path: Path) -> None:
    assert refuse(empty_entries(tmp_path / "a.zip", 30_000)).code == "data_too_dirty"


def test_large_directory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", three_images())
    assert refuse(path, Limits(max_directory_bytes=100)).code == "too_many_entries"


def test_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", three_images())
    path.write_bytes(path.read_bytes()[:-30])
    assert refuse(path).code == "not_an_archive"


def test_zip64_archive_with_comment_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in three_images().items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
        archive.comment = b"a comment " * 1000
    assert read_archive(path).count == 3


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_archives_give_items_or_a_data_error(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    members = {"a/1.png": png(1), "b/2.png": png(2), "b/3.png": png(3)}
    path = write_zip(tmp_path / "a.zip", members, compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for position, value in changes:
        data[position % len(data)] = value
    path.write_bytes(bytes(data))
    try:
        items = chunks(read_file(path, limits=Limits(max_unreadable_percent=100)))
    except DataError:
        return
    assert all(chunk.values.dtype == np.uint8 for chunk in items)
