"""What the discriminator says about training, held-out and generated items."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.plots.history import History
from service.plots.panels import BOTTOM, LEFT, RIGHT, TOP, WIDTH, place
from service.plots.style import FAKE, HELD_OUT, TRAINING

_HEIGHT = 3.0


class ScoreHistogram:
    """Three histograms of logits in common bins, each with its median."""

    def is_in(self, history: History) -> bool:
        """Whether there is anything to draw."""
        return history.scored is not None

    def draw(self, history: History) -> Figure:
        """The histograms of the newest evaluation; each sums to one."""
        assert history.scored is not None, "asked for before"
        evaluation, scores = history.scored
        total = TOP + _HEIGHT + BOTTOM
        figure = Figure(figsize=(WIDTH, total))
        title = f"Discriminator's logits at step {evaluation.step:,}"
        figure.text(0.15 / WIDTH, 1 - 0.2 / total, title, fontsize=11, fontweight="bold", va="top")
        axes = place(figure, LEFT, total - TOP + 0.3, WIDTH - LEFT - RIGHT, _HEIGHT + 0.3)
        _draw(axes, scores.edges, scores.training, "training items", TRAINING)
        _draw(axes, scores.edges, scores.held_out, "held-out items", HELD_OUT)
        _draw(axes, scores.edges, scores.fake, "generated items", FAKE)
        axes.set_xlim(scores.edges[0], scores.edges[-1])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("logit: higher means that the discriminator takes the item for real")
        axes.set_ylabel("share of items in a bin")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))
        return figure


def _draw(
    axes: Axes, edges: Sequence[float], counts: Sequence[float], label: str, colour: str
) -> None:
    total = sum(counts)
    if len(counts) + 1 != len(edges) or total <= 0:
        return
    shares = np.array(counts) / total
    middle = _median(np.array(edges), shares)
    minus = "\N{MINUS SIGN}" if middle < 0 else ""
    axes.stairs(shares, edges, fill=True, color=colour, alpha=0.16)
    axes.stairs(
        shares,
        edges,
        color=colour,
        linewidth=1.4,
        label=f"{label}\n(median {minus}{abs(middle):.2f})",
    )
    axes.axvline(middle, color=colour, linewidth=1.0, linestyle=(0, (5, 3)))


def _median(edges: np.ndarray, shares: np.ndarray) -> float:
    """By linear interpolation within its bin."""
    return float(np.interp(0.5, np.concatenate([[0.0], np.cumsum(shares)]), edges))
