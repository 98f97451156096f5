"""The confusion table of planted matches."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.referee_lab.datasets import dataset
from benchmarks.referee_lab.planted import FAILING, HEALTHY, Planted
from benchmarks.referee_lab.play import Course, course

IN_TIME = 0.2
NAMED_WANTED, ALARMS_WANTED = 0.9, 0.05


class Played(NamedTuple):
    """A planted match, its seed, and what was said of it."""

    planted: Planted
    seed: int
    course: Course

    @property
    def named_at(self) -> int | None:
        """When the failure was first given its name, or another that is true of it."""
        planted = self.planted
        right = (planted.failure, *planted.also)
        steps = [step for name, step in self.course.named.items() if name in right]
        return min(steps, default=None)

    @property
    def exactly_at(self) -> int | None:
        """When it was first given the very name that was expected."""
        return self.course.named.get(self.planted.failure or "")

    @property
    def in_time(self) -> bool:
        """Whether it was given the very name within a fifth of the budget."""
        step = self.exactly_at
        return step is not None and step <= IN_TIME * self.planted.budget


def matches(console: Console, seeds: Sequence[int], processes: int) -> bool:
    """Play all, print the tables; whether the wanted shares are reached."""
    planted = [p for p in (*HEALTHY, *FAILING) if dataset(p.dataset) is not None]
    for missing in {p.dataset for p in (*HEALTHY, *FAILING)} - {p.dataset for p in planted}:
        console.print(f"left out: the dataset {missing} is not on this machine")
    tasks = [(p, seed) for p in planted for seed in seeds]
    played: list[Played] = []
    with ProcessPoolExecutor(processes) as pool:
        courses = pool.map(course, *zip(*tasks, strict=True))
        for (match, seed), found in zip(tasks, courses, strict=True):
            if found:
                played.append(Played(match, seed, found))
                console.print(_line(played[-1]), highlight=False)
    console.print(_table(played))
    console.print(_confusion(played))
    return _totals(console, played)


def _line(match: Played) -> str:
    planted, found = match.planted, match.course
    said = ", ".join(f"{name} at {step}" for name, step in found.named.items()) or "healthy"
    wanted = planted.failure or "healthy"
    return f"{planted.name} ({planted.dataset}, seed {match.seed}), {wanted}: {said}"


def _table(played: Sequence[Played]) -> Table:
    table = Table("match", "data", "recipe", "expected", "seed", "budget", "named at", "share")
    table.add_column("all that was said, and since which step")
    for match in played:
        planted, found = match.planted, match.course
        at = match.exactly_at
        table.add_row(
            planted.name,
            planted.dataset,
            planted.recipe,
            planted.failure or "healthy",
            str(match.seed),
            str(planted.budget),
            str(at) if at else "-",
            f"{100 * at / planted.budget:.0f} %" if at else "-",
            ", ".join(f"{name} {step}" for name, step in found.named.items()) or "healthy",
        )
    return table


def _confusion(played: Sequence[Played]) -> Table:
    """Rows: what was planted. Columns: the first verdict that was not healthy."""
    counts = Counter((m.planted.failure or "healthy", m.course.verdict) for m in played)
    verdicts = sorted({verdict for _, verdict in counts})
    table = Table("planted \\ first verdict", *verdicts)
    for expected in sorted({expected for expected, _ in counts}):
        table.add_row(expected, *(str(counts[expected, v] or "") for v in verdicts))
    return table


def _totals(console: Console, played: Sequence[Played]) -> bool:
    failing = [match for match in played if match.planted.failure]
    healthy = [match for match in played if not match.planted.failure]
    in_time = sum(match.in_time for match in failing)
    true_name = sum(
        match.named_at is not None and match.named_at <= IN_TIME * match.planted.budget
        for match in failing
    )
    false = sum(bool(match.course.alarms) for match in healthy)
    readings = sum(match.course.readings for match in healthy)
    alarms = sum(match.course.alarms for match in healthy)
    console.print(
        f"named exactly within 20 % of the budget: {in_time} of {len(failing)} "
        f"({100 * in_time / len(failing):.0f} %, wanted >= 90 %); by that or another true name: "
        f"{true_name} of {len(failing)}\n"
        f"healthy matches with any alarm: {false} of {len(healthy)} "
        f"({100 * false / len(healthy):.0f} %, wanted <= 5 %); readings with an alarm: {alarms} of "
        f"{readings}\n"
        f"trivial referees: one that never warns names 0 %, one that always says mode_collapse "
        f"names {_always(failing):.0f} % and is wrong about every healthy match"
    )
    enough = in_time >= NAMED_WANTED * len(failing)
    return enough and false <= ALARMS_WANTED * len(healthy)


def _always(failing: Sequence[Played]) -> float:
    return 100 * sum(m.planted.failure == "mode_collapse" for m in failing) / len(failing)
