"""ZIP archives of images; folders that hold the images become class labels."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

import numpy as np

from ganmodels.data.errors import DataError, printable
from ganmodels.data.images import DecodedImage, decode_image, read_image_header
from ganmodels.data.limits import DEFAULT_LIMITS, Limits
from ganmodels.data.safezip import checked_members, member_name, open_zip, read_member
from ganmodels.data.stream import Chunk, Findings, ImageFacts, ItemStream

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif"}
)
_SPLIT_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


def read_archive(path: Path, limits: Limits = DEFAULT_LIMITS) -> ItemStream:
    """Images of a ZIP archive in archive order.

    The folder directly holding an image is its class, wherever it lies, when there are at
    least two such folders by name and none of them holds another. Images in a single folder
    or at the root have no labels; neither have folders named only train, test and the like.
    ``__MACOSX``, dotfiles and files without an image suffix are skipped and counted.
    Unreadable images are listed in the findings.

    Raises: DataError, see ``safezip.checked_members``, ``folder_labels`` and
    ``Findings.require_usable``.
    """
    findings = Findings()
    images, facts = _survey(path, limits, findings)
    classes = folder_classes([image.name for image in images], limits)
    return ItemStream(
        facts=facts,
        count=len(images),
        classes=classes,
        chunks=lambda: _decode_all(path, images, classes, limits, findings),
        limits=limits,
        findings=findings,
    )


def folder_classes(names: Sequence[str], limits: Limits) -> tuple[str, ...]:
    """Class names in natural order (by value if all are integers); empty means no labels.

    Raises: DataError ``mixed_folders``, ``too_many_classes``, ``class_name_invalid``.
    """
    folders = {PurePosixPath(name).parent for name in names}
    classes = {folder.name for folder in folders}
    if len(classes) < 2 or {name.lower() for name in classes} <= _SPLIT_NAMES:
        return ()
    for folder in folders:
        mixed = folders.intersection(folder.parents)
        if mixed:
            raise _mixed_folders(str(mixed.pop()))
    if len(classes) > limits.max_classes:
        raise DataError(
            "too_many_classes",
            f"The archive has {len(classes)} class folders; at most {limits.max_classes} are "
            "allowed: merge some, or put all images in one folder.",
            limits.max_classes,
        )
    for name in classes:
        if len(name) > 100 or not name.isprintable():
            raise DataError(
                "class_name_invalid",
                f"The folder {printable(name)!r} cannot name a class; "
                "use at most 100 printable characters.",
                100,
            )
    return _in_natural_order(classes)


def is_image_name(name: str) -> bool:
    """Whether a path ends like that of an image, and no part of it is hidden or made by macOS."""
    path = PurePosixPath(name)
    is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not is_hidden and path.suffix.lower() in IMAGE_SUFFIXES


@dataclass(frozen=True)
class _Image:
    """One readable image of the archive."""

    entry: ZipInfo
    name: str


def _survey(path: Path, limits: Limits, findings: Findings) -> tuple[list[_Image], ImageFacts]:
    """First pass: read every header, and pixels only where alpha has to be looked at."""
    images: list[_Image] = []
    sizes: Counter[tuple[int, int]] = Counter()
    has_colour = has_alpha = False
    with open_zip(path, limits) as archive:
        members = checked_members(archive, limits, is_image_name)
        for image in _select_images(members, findings):
            try:
                data = read_member(archive, image.entry)
                header = read_image_header(data, limits)
                if header.channels in (2, 4) and not has_alpha:
                    has_alpha = not decode_image(data, limits).is_opaque
            except DataError as error:
                findings.add_unreadable(image.name, error, limits)
                continue
            images.append(image)
            sizes[header.height, header.width] += 1
            has_colour = has_colour or header.channels >= 3
    findings.require_usable(len(images), limits)
    return images, ImageFacts(sizes, 4 if has_alpha else 3 if has_colour else 1)


def _select_images(entries: list[ZipInfo], findings: Findings) -> list[_Image]:
    candidates = [_Image(entry, member_name(entry)) for entry in entries]
    images = [image for image in candidates if is_image_name(image.name)]
    findings.skipped = len(candidates) - len(images)
    return images


def _decode_all(
    path: Path,
    images: list[_Image],
    classes: tuple[str, ...],
    limits: Limits,
    findings: Findings,
) -> Iterator[Chunk]:
    """Second pass: every image in full, one at a time."""
    index_of = {name: index for index, name in enumerate(classes)}
    with open_zip(path, limits) as archive:
        for image in images:
            try:
                decoded = decode_image(read_member(archive, image.entry), limits)
            except DataError as error:
                findings.add_unreadable(image.name, error, limits)
                continue
            folder = PurePosixPath(image.name).parent.name
            yield _chunk(decoded, index_of[folder] if classes else None)


def _chunk(decoded: DecodedImage, label: int | None) -> Chunk:
    labels = None if label is None else np.array([label], dtype=np.int64)
    return Chunk(decoded.pixels[None], labels, decoded.mode)


def _in_natural_order(names: set[str]) -> tuple[str, ...]:
    are_integers = all(name.isascii() and name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda name: (int(name) if are_integers else 0, name)))


def _mixed_folders(folder: str) -> DataError:
    place = "top level" if folder == "." else f"folder {printable(folder)!r}"
    return DataError(
        "mixed_folders",
        f"The {place} holds images and also folders with images; put every "
        "image in a class folder, or all in a single folder for no labels.",
    )
