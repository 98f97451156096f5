"""The command line of the benchmark of training."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console


class Options(NamedTuple):
    """What a run was asked for."""

    sections: tuple[str, ...]
    rounds: int
    seconds: float
    threads: int
    seeds: int
    steps: int
    json: Path | None

    @property
    def command(self) -> str:
        """The command line, as it can be typed again."""
        return " ".join(["python -m benchmarks.training", *sys.argv[1:]])


class Lab(NamedTuple):
    """What every section is given."""

    options: Options
    console: Console


def read_options(description: str, sections: Sequence[str]) -> Options:
    """The command line's options; ``sections`` are the names there are."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    named = ", ".join(sections)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {named}; all")
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many (5)")
    parser.add_argument("--seconds", type=float, default=8, help="of each turn, at least (8)")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (1)")
    parser.add_argument("--seeds", type=int, default=3, help="of the quality (3)")
    parser.add_argument("--steps", type=int, default=1500, help="of the quality (1,500)")
    parser.add_argument("--json", type=Path, help="where to write the record")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(sections):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {named}")
    if given.rounds < 1 or given.seconds <= 0 or given.threads < 1:
        parser.error("at least one round, some seconds, and one thread")
    return Options(**{**vars(given), "sections": tuple(given.sections or sections)})
