"""Figures to bytes, one at a time: matplotlib keeps its settings for the whole process."""

import io
from collections.abc import Callable
from threading import BoundedSemaphore, Lock

import matplotlib.style
from matplotlib.figure import Figure

from service.plots.names import Format
from service.plots.style import STYLE
from worker.errors import Unavailable

_DPI = 144
# No date and no version: the same history gives the same bytes.
_METADATA = {
    "png": {"Software": None},
    "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
}
_MOST_WAITING = 8
_WAIT_SECONDS = 20.0
_places, _lock = BoundedSemaphore(_MOST_WAITING), Lock()


def render(draw: Callable[[], Figure], format: Format) -> bytes:
    """What a figure looks like; ``draw`` makes it, in the style of all figures.

    Raises:
        Unavailable: when too many others wait for theirs.
    """
    busy = Unavailable("plots-busy", "too many pictures are being drawn; try again")
    # Whoever waits holds one of the threads that answer all other requests as well.
    if not _places.acquire(blocking=False):
        raise busy
    try:
        if not _lock.acquire(timeout=_WAIT_SECONDS):
            raise busy
        try:
            return _draw(draw, format)
        finally:
            _lock.release()
    finally:
        _places.release()


def _draw(draw: Callable[[], Figure], format: Format) -> bytes:
    buffer = io.BytesIO()
    # From its defaults: a matplotlibrc of whoever runs the service changes nothing.
    with matplotlib.style.context(["default", dict(STYLE)]):
        draw().savefig(buffer, format=format, dpi=_DPI, metadata=_METADATA[format])
    return buffer.getvalue()
