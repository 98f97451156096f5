"""How all figures look: fonts that matplotlib ships, colours that the colour-blind tell apart."""

from collections.abc import Mapping
from typing import Any

# Okabe & Ito 2008, "Color Universal Design": one meaning each, in every figure.
DISCRIMINATOR = TRAINING = "#0072b2"
GENERATOR = FAKE = "#d55e00"
HELD_OUT = "#009e73"
PAIRS, HELD_OUT_PAIRS = "#cc79a7", "#7a6a00"
WARNING = "#e69f00"
INK, GUIDE, FAINT = "#333333", "#777777", "#e8e8e8"
OTHERS = (TRAINING, GENERATOR, HELD_OUT, PAIRS)

SHARES = "cividis"

STYLE: Mapping[str, Any] = {
    "font.family": "sans-serif",
    # The first ships with matplotlib; the others are for browsers that show an SVG without it.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial", "sans-serif"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GUIDE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": GUIDE,
    "ytick.color": GUIDE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.borderaxespad": 0.0,
    "legend.borderpad": 0.0,
    "legend.labelspacing": 0.35,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "text.color": INK,
    # Text stays text: it can be searched and read aloud, and the file is small.
    "svg.fonttype": "none",
    # Without these two the same history would give other bytes each time.
    "svg.hashsalt": "ringside",
    "svg.id": None,
}
