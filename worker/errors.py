"""What can go wrong with a request to the store.

StoreError
├── NotFound     the thing named does not exist
├── Conflict     the thing exists, but its state forbids this
└── Unavailable  not now; try again later
    └── JobCorrupt  a file of a job cannot be understood
"""

import difflib
from collections.abc import Iterable


class StoreError(Exception):
    """``code`` is stable; ``detail`` says what is wrong and what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class NotFound(StoreError):  # noqa: N818 - named for what it says
    """The thing named does not exist."""

    @classmethod
    def of(cls, kind: str, wanted: str, known: Iterable[str], where: str) -> "NotFound":
        """No ``kind`` of this name; near names are offered, never the input itself."""
        near = difflib.get_close_matches(wanted, list(known), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return cls(f"{kind}-not-found", f"there is no {kind} of this name; {hint}see GET {where}")


class Conflict(StoreError):  # noqa: N818
    """The thing exists, but its state forbids this."""


class Unavailable(StoreError):  # noqa: N818
    """Not now; try again later."""


class JobCorrupt(Unavailable):
    """A file of a job cannot be understood."""

    def __init__(self) -> None:
        super().__init__(
            "job-corrupt",
            "a file of this job is damaged; restore it from a backup, or DELETE the job",
        )
