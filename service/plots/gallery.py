"""All plots by name."""

from collections.abc import Mapping
from typing import Protocol

from matplotlib.figure import Figure

from service.plots.curves import BALANCE, DIVERSITY, LOSSES
from service.plots.history import History
from service.plots.names import Format, Name
from service.plots.quality import Quality
from service.plots.rendering import render
from service.plots.scores import ScoreHistogram


class Plot(Protocol):
    """A figure of a history."""

    def is_in(self, history: History) -> bool:
        """Whether there is anything to draw."""
        ...

    def draw(self, history: History) -> Figure:
        """The figure, where there is anything to draw."""
        ...


PLOTS: Mapping[Name, Plot] = {
    "losses": LOSSES,
    "balance": BALANCE,
    "diversity": DIVERSITY,
    "quality": Quality(),
    "scores": ScoreHistogram(),
}


def plot(name: Name, history: History, format: Format) -> bytes | None:
    """A picture; None where there is nothing to draw yet.

    Raises:
        Unavailable: when too many others wait for theirs.
    """
    chosen = PLOTS[name]
    return render(lambda: chosen.draw(history), format) if chosen.is_in(history) else None
