"""How large foreign data may be. Sizes are bytes unless the name says otherwise."""

from pydantic import Field

from ganmodels.spec import Spec

MIB = 1 << 20
GIB = 1 << 30


class Limits(Spec):
    """Bounds that every reader keeps; the defaults let CelebA (202,599 files) through.

    ``max_entry_ratio`` holds for entries that unpack to more than ``ratio_free_bytes``, and
    ``max_archive_ratio`` for archives that do: small flat images compress better than any
    bomb, and cannot hurt.
    """

    max_entries: int = Field(default=250_000, ge=1, le=10_000_000)
    max_directory_bytes: int = Field(default=128 * MIB, ge=1)
    max_unpacked_bytes: int = Field(default=8 * GIB, ge=1)
    max_entry_bytes: int = Field(default=64 * MIB, ge=1)
    max_entry_ratio: int = Field(default=200, ge=1)
    max_archive_ratio: int = Field(default=100, ge=1)
    ratio_free_bytes: int = Field(default=MIB, ge=0)
    max_pixels_per_image: int = Field(default=25_000_000, ge=1)
    max_side: int = Field(default=8192, ge=1)
    max_array_header_bytes: int = Field(default=1000, ge=64, le=10_000)
    max_fortran_bytes: int = Field(default=512 * MIB, ge=1)
    max_items: int = Field(default=10_000_000, ge=2)
    max_classes: int = Field(default=1000, ge=1, le=1000)
    max_packed_bytes: int = Field(default=4 * GIB, ge=1)
    max_unreadable_percent: int = Field(default=5, ge=0, le=100)
    max_listed: int = Field(default=100, ge=0, le=100)
    min_items: int = Field(default=2, ge=1)


DEFAULT_LIMITS = Limits()
