"""Panels one above the other over the same steps: lines from columns of metrics, heat maps.

What a history does not have is left out: a line, or the whole panel.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from service.plots.axes import (
    Guide,
    draw_guides,
    fit_scale,
    images_axis,
    mark_best,
    shade,
    step_axis,
)
from service.plots.history import History
from service.plots.style import FAINT, SHARES, WARNING

# Inches.
WIDTH, LEFT, RIGHT = 10.0, 0.85, 2.3
TOP, BOTTOM, GAP = 0.95, 0.55, 0.3
_TITLE, _STRIP_ROW = 0.3, 0.19
_MOST_CELLS = 240
_FEW_POINTS = 150


class Line(NamedTuple):
    """A column of metrics; ``smooth``: a running mean; ``faint``: what such a one is of."""

    column: str
    label: str
    colour: str
    style: str = "-"
    smooth: bool = False
    faint: bool = False


class Lines(NamedTuple):
    """A panel of lines. ``wide``: values may span decades; ``from_zero``: they are shares of 1
    or distances, so that half as high means half as much; ``within``: beyond these values is
    noise; ``unless_zero``: the panel is left out where there are only zeros.
    """

    label: str
    lines: tuple[Line, ...]
    guides: tuple[Guide, ...] = ()
    wide: bool = False
    from_zero: bool = False
    within: tuple[float, float] | None = None
    unless_zero: bool = False
    inches: float = 2.1

    def is_in(self, history: History) -> bool:
        """Whether there is anything to draw."""
        present = [line.column for line in self.lines if history.rows.has(line.column)]
        if self.unless_zero:
            return any(np.nan_to_num(history.rows.column(name)).any() for name in present)
        return bool(present)

    def draw(self, axes: Axes, history: History) -> None:
        """Draw the lines that there are."""
        drawn = [line for line in self.lines if history.rows.has(line.column)]
        has_smooth = any(line.smooth for line in drawn)
        for line in drawn:
            _draw_line(axes, history, line, faint=line.faint and has_smooth)
        axes.set_ylabel(self.label)
        if self.wide:
            fit_scale(axes, np.concatenate([history.rows.column(line.column) for line in drawn]))
        draw_guides(axes, self.guides)
        if self.from_zero and axes.get_yscale() == "linear":
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        if self.within:
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, self.within[0]), min(high, self.within[1]))


class HeatMap(NamedTuple):
    """A panel of a column of lists: one row of colours for each place in the list."""

    column: str
    label: str
    scale_label: str
    inches: float = 2.1

    def is_in(self, history: History) -> bool:
        """Whether there is anything to draw."""
        return bool(history.rows.lists(self.column))

    def draw(self, axes: Axes, history: History) -> None:
        """Draw the map, and its scale to the right."""
        steps, shares = _cells(history.rows.lists(self.column))
        mesh = axes.pcolormesh(
            steps,
            np.arange(shares.shape[0] + 1) - 0.5,
            shares,
            cmap=SHARES,
            # By the square root: between nothing and an even share is as much to see as above it.
            norm=PowerNorm(0.5, vmin=0),
            rasterized=True,
        )
        axes.grid(visible=False)
        axes.set_ylabel(self.label)
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        beside = axes.inset_axes((1.02, 0.0, 0.018, 1.0))
        figure = axes.get_figure(root=True)
        assert figure is not None
        scale = figure.colorbar(mesh, cax=beside)
        scale.set_label(self.scale_label)
        scale.outline.set_visible(False)


Panel = Lines | HeatMap


class Trends(NamedTuple):
    """A figure of panels under one title."""

    title: str
    panels: tuple[Panel, ...]

    def is_in(self, history: History) -> bool:
        """Whether there is anything to draw."""
        return any(panel.is_in(history) for panel in self.panels)

    def draw(self, history: History) -> Figure:
        """The panels that there are."""
        return stack(history, self.panels, self.title)


def _draw_line(axes: Axes, history: History, line: Line, faint: bool) -> None:
    values = history.rows.column(line.column)
    known = np.isfinite(values)
    count = int(known.sum())
    axes.plot(
        history.rows.steps[known],
        values[known],
        color=line.colour,
        linestyle=line.style,
        linewidth=0.7 if faint else 1.5 if count <= _FEW_POINTS or line.smooth else 0.9,
        alpha=0.3 if faint else 1.0,
        zorder=1.5 if faint else 2.0,
        marker="o" if count == 1 else None,
        label=line.label,
    )


def stack(history: History, panels: Sequence[Panel], title: str, below: float = 0.0) -> Figure:
    """Panels from top to bottom, with a strip of warnings; ``below``: inches left free there."""
    drawn = [panel for panel in panels if panel.is_in(history)]
    codes = list(dict.fromkeys(span.code for span in history.spans)) if drawn else []
    strip = _STRIP_ROW * len(codes) + (GAP / 2 if codes else 0)
    heights = [panel.inches for panel in drawn]
    trends = TOP + strip + sum(heights) + GAP * (len(heights) - 1) + BOTTOM
    total = (trends if drawn else _TITLE) + below
    figure = Figure(figsize=(WIDTH, total))
    figure.text(0.15 / WIDTH, 1 - 0.2 / total, title, fontsize=11, fontweight="bold", va="top")
    top = total - TOP
    if codes:
        _draw_strip(_place(figure, top, _STRIP_ROW * len(codes)), history, codes)
        top -= strip
    for index, panel in enumerate(drawn):
        axes = _place(figure, top, panel.inches)
        top -= panel.inches + GAP
        panel.draw(axes, history)
        _finish(axes, history, first=index == 0, last=index == len(drawn) - 1)
    if drawn:
        images_axis(figure.axes[0], history)
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches, ``top`` from the lower edge."""
    all_width, all_height = figure.get_size_inches()
    box = (left / all_width, (top - height) / all_height, width / all_width, height / all_height)
    return figure.add_axes(box)


def _place(figure: Figure, top: float, height: float) -> Axes:
    return place(figure, LEFT, top, WIDTH - LEFT - RIGHT, height)


def _finish(axes: Axes, history: History, first: bool, last: bool) -> None:
    step_axis(axes, history)
    shade(axes, history)
    mark_best(axes, history, label=first)
    axes.tick_params(labelbottom=last)
    if last:
        axes.set_xlabel("training step")
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.0))


def _draw_strip(axes: Axes, history: History, codes: list[str]) -> None:
    """One row for each warning, with its name to the right."""
    for span in history.spans:
        # A warning that was over at once is still to be seen.
        length = max(history.end_of(span) - span.since, history.end * 0.004)
        row = codes.index(span.code)
        axes.barh(row, length, left=span.since, height=0.62, color=WARNING, linewidth=0)
    step_axis(axes, history)
    axes.set_ylim(len(codes) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.set_facecolor("#fafafa")
    axes.tick_params(bottom=False, labelbottom=False, left=False, labelleft=False)
    for side in axes.spines.values():
        side.set_color(FAINT)
    axes.set_ylabel("warnings", rotation=0, ha="right", va="center")
    for row, code in enumerate(codes):
        axes.text(1.02, row, code, transform=axes.get_yaxis_transform(), va="center", fontsize=8)


def _cells(lists: dict[float, list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Edges [n + 1] in steps and values [places, n], few enough for a picture."""
    longest = max(map(len, lists.values()))
    alike = {step: values for step, values in lists.items() if len(values) == longest}
    stride = -(-len(alike) // _MOST_CELLS)
    steps = np.array(list(alike)[::stride])
    values = np.array(list(alike.values())[::stride], dtype=np.float64)
    edges = np.concatenate([[0.0], (steps[1:] + steps[:-1]) / 2, [max(alike)]])
    return edges, values.T
