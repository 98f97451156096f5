"""The command line of the serving benchmark."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Options(NamedTuple):
    """What a run was asked for. ``settings`` are variables of the service's environment."""

    sections: tuple[str, ...]
    rounds: int
    seconds: float
    overload_seconds: float
    peers: Path | None
    only: tuple[str, ...]
    tried: int | None
    settings: Mapping[str, str]
    json: Path | None

    @property
    def command(self) -> str:
        """The command line, as it can be typed again."""
        return " ".join(["python -m benchmarks.serving", *sys.argv[1:]])


def read_options(description: str, sections: Sequence[str], peers: Sequence[str]) -> Options:
    """The command line's options; ``sections`` and ``peers`` are the names there are."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    named = ", ".join(sections)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {named}; all")
    parser.add_argument(
        "--peers", type=Path, metavar="DIR", help="install peers there, and compare"
    )
    parser.add_argument("--only", default=",".join(peers), help="of the peers, by comma (all)")
    parser.add_argument("--rounds", type=int, default=5, help="medians of so many (5)")
    parser.add_argument("--seconds", type=float, default=10, help="of each load in a round (10)")
    parser.add_argument("--overload-seconds", type=float, default=60, help="of twice capacity (60)")
    parser.add_argument("--tried", type=int, help="settings of each peer, in place of all")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="for the service (none)"
    )
    parser.add_argument("--json", type=Path, help="where to write the record")
    given = parser.parse_args()
    only = tuple(given.only.split(","))
    for word, known in [*((s, sections) for s in given.sections), *((p, peers) for p in only)]:
        if word not in known:
            parser.error(f"no such thing: {word}; there are {', '.join(known)}")
    if given.rounds < 1 or given.seconds < 1 or given.overload_seconds < 1:
        parser.error("at least one round, and one second of each load")
    return Options(
        sections=tuple(given.sections or sections),
        rounds=given.rounds,
        seconds=given.seconds,
        overload_seconds=given.overload_seconds,
        peers=given.peers,
        only=only,
        tried=given.tried,
        settings=dict(_pair(parser, text) for text in given.set),
        json=given.json,
    )


def _pair(parser: argparse.ArgumentParser, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("RINGSIDE_"):
        parser.error(f"--set {text}: write RINGSIDE_NAME=VALUE")
    return name, value
