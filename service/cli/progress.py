"""Progress of a training: a live bar on a terminal, now and then a line elsewhere."""

import sys
import time
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from service.cli.output import note, seconds

_LINE_SECONDS = 10.0


class Progress(Protocol):
    """Something that shows a training."""

    def update(self, metrics: dict[str, Any]) -> None:
        """Show a row of metrics."""

    def say(self, message: str) -> None:
        """Show a message."""


def choose_progress(job: dict[str, Any]) -> "AbstractContextManager[Progress]":
    """A bar if standard error is a terminal, else lines; ``job`` as the API shows it."""
    shown = LiveBar if sys.stderr.isatty() else Lines
    return shown(job)


class LiveBar:
    """A bar with step, rate, both losses and the time left; messages scroll by above it."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._total = int(job["progress"]["total_steps"])
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[details]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(
            job["model"] or job["recipe"], total=self._total, details=""
        )

    def __enter__(self) -> "LiveBar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, metrics: dict[str, Any]) -> None:
        """Show a row of metrics."""
        details = describe(metrics, self._total)
        self._bar.update(self._task, completed=metrics["step"], details=details)

    def say(self, message: str) -> None:
        """Show a message above the bar."""
        self._bar.console.print(f"  {message}", markup=False, highlight=False)


class Lines:
    """Lines for a log file: every message, and metrics every ten seconds."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._total, self._next = int(job["progress"]["total_steps"]), 0.0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def update(self, metrics: dict[str, Any]) -> None:
        """Write a row of metrics, unless the last is fresh."""
        if time.monotonic() >= self._next or metrics["step"] == self._total:
            self._next = time.monotonic() + _LINE_SECONDS
            note(f"step {metrics['step']}/{self._total}  {describe(metrics, self._total)}")

    def say(self, message: str) -> None:
        """Write a message."""
        note(message)


def describe(metrics: dict[str, Any], total_steps: int) -> str:
    """Rate, losses and time left, in words of fixed width so that the bar stands still."""
    rate = metrics["images_per_second"]
    left = _seconds_left(metrics, total_steps) if rate else None
    return (
        f"{rate:7.1f} images/s  loss D {metrics['discriminator_loss']:7.3f}"
        f"  G {metrics['generator_loss']:7.3f}  left {seconds(left)}"
    )


def _seconds_left(metrics: dict[str, Any], total_steps: int) -> float:
    images_per_step = metrics["images_seen"] / max(1, metrics["step"])
    images_left = (total_steps - metrics["step"]) * images_per_step
    return float(images_left / metrics["images_per_second"])
