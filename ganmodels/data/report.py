"""What happened during an import, for people to read."""

import hashlib
from array import array
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ganmodels.data.stream import Chunk, Findings, ItemStream
from ganmodels.spec import Spec

_LISTED_SIZES = 20
_LISTED_FORMS = 20


class SizeCount(Spec):
    """How many originals had one size in pixels."""

    height: int = Field(ge=0)
    width: int = Field(ge=0)
    count: int = Field(ge=0)


class NameCount(Spec):
    """How many items have one property."""

    name: str = Field(max_length=100)
    count: int = Field(ge=0)


class UnreadableItem(Spec):
    """One item that was left out, and why."""

    name: str = Field(max_length=100)
    reason: str = Field(max_length=500)


class ImportReport(Spec):
    """Facts about the originals and what was done to them.

    ``original_sizes`` lists the 20 most frequent, ``unreadable`` the first 100 of
    ``unreadable_count``; ``duplicates`` counts items equal to an earlier one after packing.
    """

    original_sizes: tuple[SizeCount, ...] = Field(default=(), max_length=_LISTED_SIZES)
    original_forms: tuple[NameCount, ...] = Field(default=(), max_length=_LISTED_FORMS)
    class_histogram: tuple[NameCount, ...] = Field(default=(), max_length=1000)
    duplicates: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)
    unreadable_count: int = Field(default=0, ge=0)
    unreadable: tuple[UnreadableItem, ...] = Field(default=(), max_length=100)
    resize_rule: str = Field(default="", max_length=500)


class Tally:
    """Counts that grow while chunks are packed."""

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._forms: Counter[str] = Counter()
        # 64 bits an item: among ten million items a false match has odds of 1 to 400,000.
        self._digests = array("Q")

    @property
    def count(self) -> int:
        """Items so far."""
        return len(self._digests)

    def add(self, chunk: Chunk, packed: NDArray[Any]) -> None:
        """Count one chunk, given its items in packed form."""
        count = len(packed)
        if packed.dtype == np.uint8:
            height, width = chunk.original_size or chunk.values.shape[1:3]
            self._sizes[int(height), int(width)] += count
            self._forms[f"{chunk.form}, {_channels(chunk.values.shape[-1])}"] += count
        else:
            self._forms[f"{chunk.form}, {chunk.values.shape[-1]} coordinates"] += count
        for item in packed:
            digest = hashlib.blake2b(item, digest_size=8).digest()
            self._digests.append(int.from_bytes(digest, "little"))

    def report(
        self, stream: ItemStream, labels: NDArray[np.int64] | None, rule: str
    ) -> ImportReport:
        """The finished report."""
        digests = np.frombuffer(self._digests, dtype=np.uint64)
        sentences = [stream.note, rule] if stream.note else [rule]
        return ImportReport(
            original_sizes=tuple(
                SizeCount(height=height, width=width, count=count)
                for (height, width), count in self._sizes.most_common(_LISTED_SIZES)
            ),
            original_forms=_name_counts(self._forms),
            class_histogram=_histogram(stream.classes, labels),
            duplicates=len(digests) - len(np.unique(digests)),
            resize_rule=" ".join(sentences),
            **_findings_fields(stream.findings),
        )


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"


def _name_counts(counts: Counter[str]) -> tuple[NameCount, ...]:
    return tuple(
        NameCount(name=name, count=count) for name, count in counts.most_common(_LISTED_FORMS)
    )


def _histogram(classes: tuple[str, ...], labels: NDArray[np.int64] | None) -> tuple[NameCount, ...]:
    if labels is None:
        return ()
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    return tuple(
        NameCount(name=name, count=count) for name, count in zip(classes, counts, strict=True)
    )


def _findings_fields(findings: Findings) -> dict[str, Any]:
    return {
        "skipped": findings.skipped,
        "unreadable_count": findings.unreadable_count,
        "unreadable": tuple(
            UnreadableItem(name=name, reason=reason) for name, reason in findings.unreadable
        ),
    }
