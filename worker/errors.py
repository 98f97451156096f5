"""What can go wrong with a request to the store.

StoreError
├── NotFound     the thing named does not exist
├── Conflict     the thing exists, but its state forbids this
└── Unavailable  not now; try again later
    └── Corrupt  a file cannot be understood; waiting does not help
        ├── JobCorrupt    one of a job
        └── ModelCorrupt  that of a model
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


class Corrupt(Unavailable):
    """A file cannot be understood; waiting does not help."""


class JobCorrupt(Corrupt):
    """A file of a job cannot be understood."""

    def __init__(self) -> None:
        super().__init__(
            "job-corrupt",
            "a file of this job is damaged; restore it from a backup, or DELETE the job",
        )


class ModelCorrupt(Corrupt):
    """The file of a model cannot be understood."""

    def __init__(self) -> None:
        super().__init__(
            "model-corrupt",
            "the file of this model is damaged; restore it from a backup, or move it away to begin "
            "the model anew",
        )
