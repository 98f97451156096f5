"""Health: what the referee says about a match, with evidence and a remedy."""

from typing import Literal

from pydantic import Field, JsonValue

from ganmodels.referee.config import Failure
from ganmodels.spec import Spec


class Remedy(Spec):
    """What to change: a sentence, and a merge patch for the next ``POST /train``."""

    detail: str
    patch: dict[str, JsonValue]


class Diagnosis(Spec):
    """A failure that is going on.

    ``extent`` of a collapse. ``confidence``: the share of the readings looked at that show it.
    ``since_step``: the first of the readings in a row that show it. ``evidence``: the signals it
    rests on, at ``step``.
    """

    code: Failure
    extent: Literal["partial", "complete"] | None = None
    step: int = Field(ge=0)
    since_step: int = Field(ge=0)
    confidence: float = Field(ge=0, le=1)
    detail: str
    evidence: dict[str, float | None]
    remedy: Remedy


class Health(Spec):
    """The verdict at a step: healthy, or the gravest of the diagnoses, which come gravest first."""

    verdict: Failure | Literal["healthy"]
    step: int = Field(ge=0)
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def failures(self) -> frozenset[Failure]:
        """What is going on."""
        return frozenset(diagnosis.code for diagnosis in self.diagnoses)
