"""The command line that the benchmarks of generators share."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Budget(NamedTuple):
    """How long one seed trains: so many steps, or as many as fit into so many minutes."""

    steps: int | None
    minutes: float


class Options(NamedTuple):
    """What a run was asked for."""

    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: Budget
    threads: int
    json: Path | None
    baselines_only: bool

    @property
    def command(self) -> str:
        """The command line, as it can be typed again."""
        module = Path(sys.argv[0]).stem
        return " ".join(["python -m", f"benchmarks.{module}", *sys.argv[1:]])


def read_options(
    description: str,
    variants: Sequence[str],
    minutes: float,
    seeds: int = 1,
    usual: Sequence[str] = (),
) -> Options:
    """The command line's options; ``variants`` are the names that may be asked for.

    ``minutes`` and ``seeds`` are what is done when nothing is said, and so are ``usual`` ones,
    which are all variants unless given.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = ", ".join(variants)
    parser.add_argument(
        "variants", nargs="*", metavar="VARIANT", help=f"of {chosen}; {', '.join(usual) or 'all'}"
    )
    parser.add_argument("--json", type=Path, help="where to write the record")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"how many ({seeds})")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--minutes", type=float, default=minutes, help=f"a seed ({minutes:g})")
    parser.add_argument("--steps", type=int, help="a seed, in place of minutes: repeatable")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch (1)")
    parser.add_argument("--baselines", action="store_true", help="train nothing")
    given = parser.parse_args()
    unknown = set(given.variants) - set(variants)
    if unknown:
        parser.error(f"no such variant: {', '.join(sorted(unknown))}; there are {chosen}")
    return Options(
        variants=tuple(given.variants or usual or variants),
        seeds=tuple(range(given.first_seed, given.first_seed + given.seeds)),
        budget=Budget(given.steps, given.minutes),
        threads=given.threads,
        json=given.json,
        baselines_only=given.baselines,
    )
