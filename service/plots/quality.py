"""How good generated items are: estimates from the training, figures of evaluations."""

import math
from collections.abc import Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ganmodels.referee.findings import Figure as Measured
from service.plots.axes import Guide, mark_best
from service.plots.evaluations import Evaluation
from service.plots.history import History
from service.plots.panels import WIDTH, Line, Lines, place, stack
from service.plots.protocols import AIMS, by_protocol, figure_names
from service.plots.style import FAKE, GUIDE, OTHERS

_TRENDS = (
    Lines(
        "energy distance",
        (Line("energy_distance", "generated to training items", FAKE),),
        guides=(Guide(0.0, "equal"),),
        wide=True,
        from_zero=True,
    ),
    Lines(
        "neighbour ratio",
        (Line("neighbour_ratio", "distance to training items", FAKE),),
        guides=(Guide(1.0, "as far as held-out items"),),
        wide=True,
        from_zero=True,
        inches=1.6,
    ),
    Lines(
        "neighbour accuracy",
        (Line("neighbour_accuracy", "nearest item of the same kind", FAKE),),
        guides=(Guide(0.5, "not to be told apart"),),
        from_zero=True,
        inches=1.6,
    ),
)
# Inches.
_COLUMNS, _HEIGHT, _ROW, _HEADING, _ENTRY = 4, 1.15, 1.85, 0.75, 0.16

Series = list[tuple[int, Measured]]


class Quality:
    """A figure of trends, and below a small one of each figure that evaluations found."""

    def is_in(self, history: History) -> bool:
        """Whether there is anything to draw."""
        return bool(history.evaluations) or any(panel.is_in(history) for panel in _TRENDS)

    def draw(self, history: History) -> Figure:
        """All there is; evaluations of different protocols are not joined by a line."""
        names = figure_names(history.evaluations)
        rows = -(-len(names) // _COLUMNS)
        protocols = by_protocol(history.evaluations)
        heading = _HEADING + _ENTRY * len(protocols)
        below = heading + rows * _ROW if names else 0.0
        figure = stack(history, _TRENDS, "Quality of generated items", below)
        if names:
            _head(figure, rows * _ROW + heading - 0.35, protocols)
        for index, name in enumerate(names):
            axes = _small(figure, rows, index)
            for colour, evaluations in zip(cycle(OTHERS), protocols.values(), strict=False):
                _draw_figure(axes, _series(evaluations, name), colour)
            _finish(axes, history, name, protocols)
        return figure


def _series(evaluations: Sequence[Evaluation], name: str) -> Series:
    found = [(e.step, e.findings.figures.get(name)) for e in evaluations if e.findings]
    return [(step, figure) for step, figure in found if figure and math.isfinite(figure.value)]


def _head(figure: Figure, top: float, protocols: dict[str, list[Evaluation]]) -> None:
    height = figure.get_size_inches()[1]
    figure.text(0.15 / WIDTH, top / height, "Evaluations", fontsize=10, fontweight="bold")
    figure.text(
        (0.15 + 1.05) / WIDTH,
        top / height,
        "value and standard error; dashed: the same measure of real items, a perfect generator's",
        color=GUIDE,
        fontsize=8,
    )
    for row, (colour, text) in enumerate(zip(cycle(OTHERS), protocols, strict=False)):
        middle = (top - 0.2 - _ENTRY * row) / height
        figure.text(0.15 / WIDTH, middle, f"\N{BLACK CIRCLE} {text}", color=colour, fontsize=7.5)


def _small(figure: Figure, rows: int, index: int) -> Axes:
    row, column = divmod(index, _COLUMNS)
    pitch = (WIDTH - 0.2) / _COLUMNS
    top = (rows - row) * _ROW - 0.1
    return place(figure, 0.6 + column * pitch, top, pitch - 0.75, _HEIGHT)


def _draw_figure(axes: Axes, series: Series, colour: str) -> None:
    if not series:
        return
    steps = [step for step, _ in series]
    axes.errorbar(
        steps,
        [figure.value for _, figure in series],
        yerr=[figure.standard_error or 0.0 for _, figure in series],
        color=colour,
        marker="o",
        markersize=3,
        linewidth=1.1,
        capsize=2,
    )
    bounds = [(step, figure.value) for step, figure in series if figure.at_least]
    if bounds:
        axes.plot(*zip(*bounds, strict=True), color=colour, marker="^", markersize=6, linestyle="")
    floors = [(step, f.floor) for step, f in series if f.floor is not None]
    if len(floors) == 1:
        axes.axhline(floors[0][1], color=colour, linewidth=0.9, linestyle=(0, (5, 3)), alpha=0.7)
    elif floors:
        axes.plot(*zip(*floors, strict=True), color=colour, linewidth=0.9, linestyle=(0, (5, 3)))


def _finish(
    axes: Axes, history: History, name: str, protocols: dict[str, list[Evaluation]]
) -> None:
    series = [point for evaluations in protocols.values() for point in _series(evaluations, name)]
    axes.set_title(name.replace("_", " "), loc="left", pad=12, fontweight="bold")
    if series:
        aim = AIMS[series[0][1].better]
        axes.text(0, 1.03, aim, transform=axes.transAxes, fontsize=7, color=GUIDE)
    mark_best(axes, history, label=False)
    axes.set_xlim(0, history.end * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=7)
