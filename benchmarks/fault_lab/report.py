"""What a section hands back: a row per fault, and the figures that it must hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple


class Figure(NamedTuple):
    """A number beside what it has to be."""

    measure: str
    reached: str
    wanted: str
    holds: bool

    def __str__(self) -> str:
        return f"{'' if self.holds else 'NOT '}{self.measure} {self.reached} ({self.wanted})"


@dataclass(frozen=True)
class Report:
    """One fault, injected ``trials`` times. None stands for what does not apply."""

    fault: str
    trials: int
    seed: int
    figures: tuple[Figure, ...]
    lost: int | None = None
    duplicated: int | None = None
    equal: int | None = None
    compared: int | None = None
    recovery_seconds: tuple[float, ...] = ()
    goodput: float | None = None
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Whether every figure is as wanted; a fault that was left out shows nothing."""
        return not self.skipped and all(figure.holds for figure in self.figures)


def at_most(measure: str, reached: float, wanted: float, unit: str = "") -> Figure:
    """A figure that must not be exceeded."""
    return Figure(measure, f"{reached:.4g}{unit}", f"<= {wanted:g}{unit}", reached <= wanted)


def at_least(measure: str, reached: float, wanted: float, unit: str = "") -> Figure:
    """A figure that must be reached."""
    return Figure(measure, f"{reached:.4g}{unit}", f">= {wanted:g}{unit}", reached >= wanted)


def exactly(measure: str, reached: object, wanted: object) -> Figure:
    """A figure that has one right value."""
    return Figure(measure, str(reached), str(wanted), reached == wanted)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not below ``percent`` of all."""
    ordered = sorted(values)
    place = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(place) - 1)] if ordered else 0.0


def skipped(fault: str, seed: int, reason: str) -> Report:
    """A fault that cannot be injected here."""
    return Report(fault, 0, seed, (), skipped=reason)


def row(report: Report) -> list[str]:
    """The report as the table shows it."""
    if report.skipped:
        blank = ["-"] * 5
        return [report.fault, "0", *blank, str(report.seed), f"left out: {report.skipped}"]
    seconds = report.recovery_seconds
    recovery = f"{median(seconds):.1f} / {percentile(seconds, 95):.1f}" if seconds else "-"
    equal = "-" if report.equal is None else f"{report.equal} of {report.compared}"
    verdict = "; ".join(map(str, report.figures))
    return [
        report.fault,
        str(report.trials),
        _count(report.lost),
        _count(report.duplicated),
        equal,
        recovery,
        "-" if report.goodput is None else f"{report.goodput:.1%}",
        str(report.seed),
        f"{'yes' if report.holds else 'NO'}: {verdict}",
    ]


def _count(number: int | None) -> str:
    return "-" if number is None else str(number)
