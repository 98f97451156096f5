"""What came out: a table a section, and for each figure that is wanted whether it is held."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.lab.report import machine
from benchmarks.serving_lab.load import require_wrk
from benchmarks.serving_lab.options import Options
from benchmarks.serving_lab.rounds import Measured, Rounds

_PACKAGES = ("torch", "numpy", "isal", "pillow", "fastapi", "starlette", "uvicorn")
BARE = "bare generator"
_COLUMNS = ("who", "median /s", "worst", "best", "p50 ms", "p99 ms", "CPU ms", "failed")


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


def show(outcome: Outcome, console: Console) -> None:
    """Print a section: medians, the worst and best round, and shares of the same round."""
    rounds = outcome.rounds
    title = f"{outcome.name}: {outcome.what}"
    shares = ("share of bare", "of its CPU") if BARE in rounds.names else ()
    table = Table(*_COLUMNS, *shares, title=title, title_justify="left")
    for name in rounds.names:
        measured = rounds.measured[name]
        rates = [one.rate for one in measured]
        table.add_row(
            name,
            *(f"{rate:.1f}" for rate in (rounds.rate(name), min(rates), max(rates))),
            *(_known(value(name)) for value in (rounds.p50_ms, rounds.p99_ms, rounds.cpu_ms)),
            str(rounds.failed(name)),
            *(_beside_bare(rounds, name) if BARE in rounds.names else ()),
        )
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False)


def _known(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _beside_bare(rounds: Rounds, name: str) -> tuple[str, str]:
    """The share of its rate, and what part of an answer's processor time an image takes there."""
    efficiency = rounds.cpu_ms(BARE) / rounds.cpu_ms(name)
    return f"{rounds.ratio(name, BARE):.3f}", "" if math.isnan(efficiency) else f"{efficiency:.3f}"


def show_verdicts(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the figures to hold."""
    table = Table("section", "measure", "wanted", "found", "holds?")
    for outcome in outcomes:
        for one in outcome.verdicts:
            holds = {True: "yes", False: "no", None: "not measured"}[one.holds]
            table.add_row(outcome.name, one.measure, one.wanted, one.found, holds)
    console.print(table)


def conditions(options: Options) -> dict[str, Any]:
    """What it was measured with and on."""
    wrk = subprocess.run([require_wrk(), "--version"], capture_output=True, text=True, check=False)
    found = {name: version(name) for name in _PACKAGES}
    return {
        "command": options.command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{machine()}, Linux {platform.release()}",
        "load average at the start": os.getloadavg()[0],
        "versions": {
            "python": platform.python_version(),
            "wrk": wrk.stdout.split(" [")[0],
            **found,
        },
        "rounds": options.rounds,
        "seconds": options.seconds,
        "settings": dict(options.settings),
    }


def write(path: Path, told: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Keep the record: every round of every contender."""
    document = {"benchmark": "serving", **told, "sections": [_document(one) for one in outcomes]}
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
