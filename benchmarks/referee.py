"""The referee on trial: planted matches, its price, its choice of checkpoint.

    python -m benchmarks.referee                    all sections
    python -m benchmarks.referee matches --seeds 3  some of them, each match with three seeds

The thresholds of the diagnoses were set on seed 0 of these matches and are fixed; the benchmark
plays other seeds, 1 and up. Steps are counted, not seconds, so a busy machine changes nothing but
how long it takes.
"""

import argparse
import os

import torch
from rich.console import Console

from benchmarks.referee_lab.best import best
from benchmarks.referee_lab.cost import cost
from benchmarks.referee_lab.equilibrium import equilibrium
from benchmarks.referee_lab.matches import matches

SECTIONS = ("matches", "cost", "best", "equilibrium")


def main() -> None:
    """Run the sections asked for; the status is 1 unless all that is wanted is reached."""
    arguments = _arguments()
    console = Console(width=180)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    console.print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, one thread a match; "
        f"seeds {seeds[0]} to {seeds[-1]}; a reading every 50 steps"
    )
    run = {
        "matches": lambda: matches(console, seeds, arguments.processes),
        "cost": lambda: cost(console),
        "best": lambda: best(console),
        "equilibrium": lambda: equilibrium(console),
    }
    holds = [run[name]() for name in arguments.sections or SECTIONS]
    raise SystemExit(not all(holds))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", choices=[[], *SECTIONS])
    parser.add_argument("--seeds", type=int, default=3, help="of each planted match")
    parser.add_argument("--first-seed", type=int, default=1, help="0 is what was tuned on")
    parser.add_argument("--processes", type=int, default=2, help="matches at a time")
    return parser.parse_args()


if __name__ == "__main__":
    main()
