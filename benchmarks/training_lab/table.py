"""How a section of the benchmark of training is shown."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.lab.report import machine
from benchmarks.lab.verdicts import Outcome
from benchmarks.training_lab.options import Options

_COLUMNS = ("who", "median", "worst", "best", "CPU ms each", "times the first")


def conditions(options: Options) -> dict[str, Any]:
    """What it was measured with and on."""
    return {
        "command": options.command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{machine()}, Linux {platform.release()}",
        "load average at the start": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "rounds": options.rounds,
        "seconds": options.seconds,
    }


def show(outcome: Outcome, console: Console) -> None:
    """Print a section: medians, the worst and best round, and ratios of the same round."""
    rounds, title = outcome.rounds, f"{outcome.name}: {outcome.what}"
    if not rounds.names:
        console.print(f"{title}: not measured")
        return
    first = rounds.names[0]
    table = Table(*_COLUMNS, title=title, title_justify="left")
    for name in rounds.names:
        rates = [one.rate for one in rounds.measured[name]]
        values = [f"{rate:.2f}" for rate in (rounds.rate(name), min(rates), max(rates))]
        ratio = f"{rounds.ratio(name, first):.2f}"
        table.add_row(name, *values, f"{rounds.cpu_ms(name):.3f}", ratio)
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", highlight=False)
