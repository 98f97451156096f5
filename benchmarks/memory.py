"""Whether the estimate of a training's memory is true: every recipe, measured in a new process.

    python -m benchmarks.memory
    python -m benchmarks.memory dcgan r3gan --precision float32 --json memory.json

Each recipe plays three steps on noise of the shape of MNIST, of CIFAR-10 or of points, in a batch
that is doubled until the estimate is 256 MiB (or the batch 4096), and halved while it is over 3 GiB
or a step takes more than 2 * 10^12 operations. Measured is the peak of resident memory above what
the process held before, as ``benchmarks/memory_lab/child.py`` says. ``tensors`` is the most bytes
of tensors at once in the same steps, counted one by one: what is above it is the allocator's and
the libraries'. The estimate is that of ``POST /train?dry_run=true``, with the bytes of the dataset.
It is right if it is within 20 % of what was measured, or within 32 MiB, by which processes differ.
"""

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.memory_lab.setting import MIB, large_enough, needed, resident_bytes
from ganmodels.machine import processor
from ganmodels.recipes import RECIPES

_RELATIVE, _ABSOLUTE_BYTES = 0.2, 32 * MIB
_LONGEST_SECONDS = 600


def main() -> None:
    """Measure, print a table and the verdict, write the record."""
    options = _options()
    rows = []
    for recipe in options.recipes or RECIPES:
        row = _measured(recipe, options.precision)
        rows.append(row)
        print(_line(row), file=sys.stderr, flush=True)
    _show(rows)
    if options.json:
        record = {
            "command": " ".join(["python -m benchmarks.memory", *sys.argv[1:]]),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "torch": torch.__version__,
            "processor": processor(),
            "rows": rows,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="all unless some are named")
    parser.add_argument("--precision", default="automatic", help="automatic, float32 or bfloat16")
    parser.add_argument("--json", type=Path, help="where to write the record")
    given = parser.parse_args()
    if unknown := set(given.recipes) - RECIPES.keys():
        parser.error(f"no such recipe: {', '.join(sorted(unknown))}")
    return given


def _measured(recipe: str, precision: str) -> dict[str, Any]:
    config = large_enough(recipe, precision)
    size, parts = config.optimisation.batch_size, config.optimisation.accumulate
    command = [sys.executable, "-m", "benchmarks.memory_lab.child", recipe, str(size), str(parts)]
    done = subprocess.run(
        [*command, precision], capture_output=True, text=True, timeout=_LONGEST_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(f"{recipe}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    estimated = needed(config) + resident_bytes(config)
    difference = estimated - found["resident"]
    right = abs(difference) <= max(_RELATIVE * found["resident"], _ABSOLUTE_BYTES)
    return {
        "recipe": recipe,
        "batch_size": size,
        "accumulate": parts,
        "precision": found["precision"],
        "measured_bytes": found["resident"],
        "tensor_bytes": found["tensors"],
        "estimated_bytes": estimated,
        "ratio": round(estimated / found["resident"], 3),
        "right": right,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    titles = ("recipe", "batch", "format", "measured", "tensors", "estimate", "estimate/measured")
    table = Table(*titles, "", title="MiB")
    for row in rows:
        table.add_row(*_cells(row), "" if row["right"] else "wrong")
    wrong = [row["recipe"] for row in rows if not row["right"]]
    console = Console(width=120)
    console.print(table)
    console.print(f"within 20 % or 32 MiB: {len(rows) - len(wrong)} of {len(rows)}")


def _cells(row: dict[str, Any]) -> list[str]:
    batch = f"{row['batch_size']}/{row['accumulate']}"
    sizes = [f"{row[name] / MIB:.0f}" for name in ("measured_bytes", "tensor_bytes")]
    sizes.append(f"{row['estimated_bytes'] / MIB:.0f}")
    return [row["recipe"], batch, row["precision"], *sizes, f"{row['ratio']:.2f}"]


def _line(row: dict[str, Any]) -> str:
    return "  ".join(_cells(row))


if __name__ == "__main__":
    main()
