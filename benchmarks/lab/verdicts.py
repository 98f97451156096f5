"""What a section of a benchmark of speed gave, and whether what is wanted is held."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.lab.rounds import Measured, Rounds


class Verdict(NamedTuple):
    """A figure that is wanted, and what was found; ``holds`` is None where it was not measured."""

    measure: str
    wanted: str
    found: str
    holds: bool | None


class Outcome(NamedTuple):
    """What a section gave. ``notes`` say how it was measured, such as what was tuned."""

    name: str
    what: str
    rounds: Rounds
    verdicts: Sequence[Verdict]
    notes: Sequence[str] = ()


def at_least(measure: str, wanted: float, found: float) -> Verdict:
    """A verdict on a ratio."""
    return Verdict(measure, f">= {wanted:g}", f"{found:.3f}", found >= wanted)


def at_most(measure: str, wanted: float, found: float, unit: str = "") -> Verdict:
    """A verdict on a ratio or a duration."""
    return Verdict(measure, f"<= {wanted:g}{unit}", f"{found:.3f}{unit}", found <= wanted)


def unmeasured(measure: str, why: str) -> Verdict:
    """A figure that this run says nothing of."""
    return Verdict(measure, "", why, None)


def show_verdicts(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the figures to hold."""
    table = Table("section", "measure", "wanted", "found", "holds?")
    for outcome in outcomes:
        for one in outcome.verdicts:
            holds = {True: "yes", False: "no", None: "not measured"}[one.holds]
            table.add_row(outcome.name, one.measure, one.wanted, one.found, holds)
    console.print(table)


def write(path: Path, benchmark: str, told: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Keep the record: every round of every contender."""
    document = {"benchmark": benchmark, **told, "sections": [_document(one) for one in outcomes]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _document(outcome: Outcome) -> dict[str, Any]:
    rounds: Mapping[str, Sequence[Measured]] = outcome.rounds.measured
    return {
        "name": outcome.name,
        "what": outcome.what,
        "notes": list(outcome.notes),
        "rounds": {name: [one._asdict() for one in found] for name, found in rounds.items()},
        "verdicts": [one._asdict() for one in outcome.verdicts],
    }
