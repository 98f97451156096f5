"""The plots, with matplotlib imported at the first call: it takes a second or two."""

import os
from pathlib import Path

from service.plots.history import History
from service.plots.names import Format, Name


def draw(home: Path, name: Name, history: History, format: Format) -> bytes | None:
    """A picture; None where there is nothing to draw yet.

    Raises:
        Unavailable: when too many others wait for theirs.
    """
    _prepare(home)
    from service.plots.gallery import plot

    return plot(name, history, format)


def drawable(home: Path, history: History) -> list[Name]:
    """The plots for which a history has anything to draw."""
    _prepare(home)
    from service.plots.gallery import PLOTS

    return [name for name, plot in PLOTS.items() if plot.is_in(history)]


def _prepare(home: Path) -> None:
    """matplotlib looks once for a place for its list of fonts: by default in the home directory
    of the user, who may have none.
    """
    os.environ.setdefault("MPLCONFIGDIR", str(home / "cache" / "matplotlib"))
