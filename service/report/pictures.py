"""Pictures within a page: plots as SVG elements, others as data addresses."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from service.plots.history import History
from service.plots.loading import draw, drawable
from service.plots.names import Name

_MOST_PICTURE_BYTES = 8 << 20
_TEXTS: dict[Name, tuple[str, str]] = {
    "losses": (
        "Losses and gradients",
        "Losses say how the two players stand against each other, not how good the samples are. "
        "A discriminator's loss near zero while the generator's gradient vanishes is one that "
        "overpowers; a loss that leaves all bounds is a divergence.",
    ),
    "balance": (
        "Balance of the two players",
        "How often the discriminator is right. Far more often on training items than on held-out "
        "ones: it knows them by heart, and r_v nears 1. Right half of the time proves nothing by "
        "itself: a broken discriminator is that too.",
    ),
    "diversity": (
        "Diversity of generated items",
        "Distances between generated items as a share of those between real ones, and how the "
        "items spread over groups of real ones. A fall is a mode collapse; a map whose bright "
        "rows change places is an oscillation.",
    ),
    "quality": (
        "Quality of generated items",
        "The distance of generated from training items, and the figures of evaluations with their "
        "standard errors. Dashed: what real items get in the place of generated ones, which is as "
        "good as it can be. A neighbour ratio well below 1 means copies of training items.",
    ),
    "scores": (
        "Scores of the discriminator",
        "Logits of three kinds of items. Training items to the right of held-out ones: the "
        "discriminator has overfitted.",
    ),
}


class Plot(NamedTuple):
    """A plot as an SVG element, with what to look for in it."""

    title: str
    caption: str
    svg: Markup


def inline_plots(home: Path, history: History) -> Iterator[Plot]:
    """All plots for which the history has anything to draw.

    Raises:
        Unavailable: when too many others wait for theirs.
    """
    for name in drawable(home, history):
        title, caption = _TEXTS[name]
        if svg := draw(home, name, history, "svg"):
            yield Plot(title, caption, inline_svg(svg.decode(), name, title))


def inline_svg(document: str, name: str, title: str) -> Markup:
    """The element of an SVG document of ours; its ids begin with ``name``, to be unique in a page.

    Nothing in the document was written by users, so nothing in it is escaped here.
    """
    element = document[document.index("<svg") :]
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element)
    described = f'<svg role="img" aria-label="{escape(title)}" '
    return Markup(element.replace("<svg ", described, 1))  # noqa: S704 - made by matplotlib


def data_address(png: bytes | None) -> str | None:
    """A PNG as an address; None for none, and for one that is too large for a page."""
    if png is None or len(png) > _MOST_PICTURE_BYTES:
        return None
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
