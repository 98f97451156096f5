"""What axes over steps have in common: numbers, scales, guides, warnings, the best checkpoint."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from service.plots.history import History
from service.plots.rows import Column
from service.plots.style import GUIDE, INK, WARNING

_WIDE = 100.0


class Guide(NamedTuple):
    """A value that is known without measuring, drawn as a dashed line."""

    value: float
    label: str


def step_axis(axes: Axes, history: History) -> None:
    """Steps from 0 to the end of what is known."""
    axes.set_xlim(0, history.end * 1.005)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def images_axis(axes: Axes, history: History) -> None:
    """Above the steps, the real images that the discriminator had seen by then."""
    ratio = history.images_per_step
    if ratio is None:
        return
    top = axes.secondary_xaxis(
        "top", functions=(lambda x: np.multiply(x, ratio), lambda x: np.divide(x, ratio))
    )
    top.set_xlabel("images seen", labelpad=4)
    top.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    top.xaxis.set_major_formatter(EngFormatter(sep="\N{NARROW NO-BREAK SPACE}"))


def fit_scale(axes: Axes, values: Column) -> None:
    """Logarithmic where values of one sign span decades; both ways from 0 where a few are huge."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return
    sizes = np.abs(finite)
    middle = float(np.median(sizes))
    if finite.min() > 0:
        if finite.max() / finite.min() > _WIDE:
            axes.set_yscale("log")
    elif middle > 0 and sizes.max() / middle > _WIDE:
        axes.set_yscale("symlog", linthresh=middle)


def draw_guides(axes: Axes, guides: tuple[Guide, ...]) -> None:
    """Known values, named in the legend."""
    for guide in guides:
        if guide.value <= 0 and axes.get_yscale() == "log":
            continue
        axes.axhline(
            guide.value, color=GUIDE, linewidth=0.9, linestyle=(0, (5, 3)), label=guide.label
        )


def shade(axes: Axes, history: History) -> None:
    """Where any warning was true."""
    for start, end in _union(history):
        axes.axvspan(start, end, color=WARNING, alpha=0.13, linewidth=0, zorder=0)


def _union(history: History) -> list[tuple[float, float]]:
    """Stretches that any warning covers: where two overlap, nothing is twice as true."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted((span.since, history.end_of(span)) for span in history.spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def mark_best(axes: Axes, history: History, label: bool) -> None:
    """The best checkpoint; ``label``: name it in the legend."""
    if history.best is None:
        return
    text = f"best checkpoint: {history.best.step:,}" if label else None
    axes.axvline(history.best.step, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)), label=text)
