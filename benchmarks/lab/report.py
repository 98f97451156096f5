"""Figures beside their baselines, bounds and published values: a table, and a record as JSON."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.lab.options import Options
from benchmarks.lab.playing import Played

Kind = Literal["run", "curve", "baseline", "bound", "published", "wanted"]
Figures = Mapping[str, float | str]

_PACKAGES = ("torch", "numpy", "scikit-learn", "safetensors")


class Column(NamedTuple):
    """A figure: its key in rows, what the table calls it, and how a value is written."""

    key: str
    title: str
    form: str = ".3f"


class Row(NamedTuple):
    """Figures of one thing; those of a run are one row a seed."""

    kind: Kind
    name: str
    figures: Figures
    seed: int | None = None
    training: Mapping[str, Any] = {}


class Report(NamedTuple):
    """One benchmark: how it measures, and what came out."""

    name: str
    protocol: str
    columns: Sequence[Column]
    rows: Sequence[Row]

    def show(self, console: Console) -> None:
        """Print the table: each run, runs of one name as mean +- sd, then what to read them by."""
        console.print(f"[bold]{self.name}[/bold]: {self.protocol}", highlight=False)
        console.print(f"torch {torch.__version__}, {machine()}", highlight=False)
        table = Table("", "what", "seed", "steps", "seconds")
        for column in self.columns:
            table.add_column(column.title)
        for row in (*self.rows, *self.summaries()):
            training = [str(row.training.get(key, "")) for key in ("steps", "training_seconds")]
            seed = "" if row.seed is None else str(row.seed)
            values = [_written(row.figures.get(c.key, ""), c.form) for c in self.columns]
            table.add_row(row.kind, row.name, seed, *training, *values)
        console.print(table)

    def summaries(self) -> list[Row]:
        """Runs of one name over their seeds: mean +- sd."""
        runs = [row for row in self.rows if row.kind == "run"]
        names = dict.fromkeys(row.name for row in runs)
        grouped = {name: [row for row in runs if row.name == name] for name in names}
        return [
            Row("run", f"{name}: mean +- sd, {len(group)} seeds", self._spread(group))
            for name, group in grouped.items()
            if len(group) > 1
        ]

    def write(self, path: Path, options: Options) -> None:
        """Keep the record: the command, where and when it ran, every figure of every seed."""
        document = {
            "benchmark": self.name,
            "command": options.command,
            "protocol": self.protocol,
            "seeds": list(options.seeds),
            "threads": options.threads,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in _PACKAGES},
            "rows": [_document(row) for row in self.rows],
            "summaries": [_document(row) for row in self.summaries()],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")

    def _spread(self, group: Sequence[Row]) -> dict[str, str]:
        found = {}
        for column in self.columns:
            values = [row.figures.get(column.key) for row in group]
            numbers = [value for value in values if isinstance(value, int | float)]
            if len(numbers) == len(values):
                mean, deviation = np.mean(numbers), np.std(numbers, ddof=1)
                found[column.key] = f"{mean:{column.form}} +- {deviation:{column.form}}"
        return found


def run_row(name: str, seed: int, played: Played, figures: Figures) -> Row:
    """A row of what one match reached."""
    return Row("run", name, figures, seed, played.facts())


def machine() -> str:
    """What it was measured on."""
    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {os.cpu_count()} cores"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    threads = torch.get_num_threads()
    return f"{next(names, platform.machine())}, {os.cpu_count()} cores, {threads} threads used"


def finish(report: Report, options: Options, console: Console) -> None:
    """Print the table and keep the record where one was asked for."""
    report.show(console)
    if options.json:
        report.write(options.json, options)


def _written(value: float | str, form: str) -> str:
    return value if isinstance(value, str) else f"{value:{form}}"


def _document(row: Row) -> dict[str, Any]:
    whole = {"kind": row.kind, "name": row.name, "seed": row.seed}
    return whole | {"training": dict(row.training), "figures": dict(row.figures)}


def published(name: str, figures: Figures) -> Row:
    """What a paper says."""
    return Row("published", name, figures)


def baselines(rows: Iterable[tuple[str, Figures]]) -> list[Row]:
    """What trivial ways of sampling get."""
    return [Row("baseline", name, figures) for name, figures in rows]
