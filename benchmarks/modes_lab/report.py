"""The table of a density's runs beside what they are read against, and the record as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.modes_lab.baselines import Beside
from benchmarks.modes_lab.measure import Bars, Figures

_PACKAGES = ("torch", "numpy", "pydantic")


class Run(NamedTuple):
    """One seed: what it reached, whether that meets all bars, and what it took."""

    seed: int
    figures: Figures
    met: bool
    steps: int
    cpu_seconds: float
    wall_seconds: float


class Report(NamedTuple):
    """All runs on one density."""

    density: str
    protocol: str
    bars: Bars
    runs: Sequence[Run]
    beside: Sequence[Beside]

    @property
    def reached(self) -> bool:
        """Whether every seed meets all bars."""
        return all(run.met for run in self.runs)


def show(report: Report, console: Console) -> None:
    """Print the runs, their mean, deviation and worst, the bars, and what to read them by."""
    met, count = sum(run.met for run in report.runs), len(report.runs)
    console.print(f"[bold]{report.density}[/bold]: {report.protocol}", highlight=False)
    console.print(f"torch {torch.__version__}, {_machine()}", highlight=False)
    table = Table("", "modes", "within 3 sigma", "KL", "spread", "met", "CPU s", "wall s")
    for run in report.runs:
        took = (f"{run.cpu_seconds:.0f}", f"{run.wall_seconds:.0f}")
        table.add_row(f"seed {run.seed}", *_row(run.figures), _yes(run.met), *took)
    table.add_section()
    for name, figures in _summary(report.runs).items():
        table.add_row(name, *_row(figures), f"{met} of {count}" if name == "mean" else "")
    table.add_row("wanted", *_row(report.bars), "all seeds")
    table.add_section()
    for beside in report.beside:
        table.add_row(f"{beside.kind}: {beside.name}", *_row(beside[2:]))
    console.print(table)


def record(reports: Sequence[Report], command: Sequence[str], path: Path) -> None:
    """Keep every figure of every seed with the command, where and when it ran."""
    document = {
        "benchmark": "modes2d",
        "command": " ".join(command),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
        "reports": [_document(report) for report in reports],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _document(report: Report) -> dict[str, Any]:
    return {
        "density": report.density,
        "protocol": report.protocol,
        "wanted": report.bars._asdict(),
        "seeds_meeting_all": sum(run.met for run in report.runs),
        "runs": [run._asdict() | {"figures": run.figures._asdict()} for run in report.runs],
        "summary": {name: figures._asdict() for name, figures in _summary(report.runs).items()},
        "beside": [beside._asdict() for beside in report.beside],
    }


def _summary(runs: Sequence[Run]) -> dict[str, Figures]:
    """Mean, standard deviation over seeds, and the worst of each figure."""
    values = np.array([run.figures for run in runs], np.float64)
    deviation = values.std(0, ddof=1) if len(runs) > 1 else np.zeros(values.shape[1])
    least, most = values.min(0), values.max(0)
    worst = Figures(int(least[0]), float(least[1]), float(most[2]), float(least[3]))
    mean, spread = (Figures(*(float(v) for v in row)) for row in (values.mean(0), deviation))
    return {"mean": mean, "standard deviation": spread, "worst": worst}


def _row(values: Sequence[float | None]) -> list[str]:
    forms = ("{:.4g}", "{:.2%}", "{:.4f}", "{:.2f}")
    pairs = zip(forms, values, strict=True)
    return ["not measured" if v is None else form.format(v) for form, v in pairs]


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.machine())}, {os.cpu_count()} cores"
