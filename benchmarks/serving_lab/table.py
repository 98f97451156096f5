"""What came out: a table a section, and for each figure that is wanted whether it is held."""

import math
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.lab.report import machine
from benchmarks.lab.rounds import Rounds
from benchmarks.lab.verdicts import Outcome
from benchmarks.serving_lab.load import require_wrk
from benchmarks.serving_lab.options import Options

_PACKAGES = ("torch", "numpy", "isal", "pillow", "fastapi", "starlette", "uvicorn")
BARE = "bare generator"
_COLUMNS = ("who", "median /s", "worst", "best", "p50 ms", "p99 ms", "CPU ms", "failed")


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
