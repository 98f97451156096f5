"""What all sections share: the options, a home with models, and where progress is told."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from benchmarks.fault_lab.service import new_home
from benchmarks.serving_lab.home import R3GAN, SIZES, add_model
from benchmarks.serving_lab.options import Options


class Lab(NamedTuple):
    """A home that holds a model of each size, under the size's name."""

    options: Options
    console: Console
    home: Path
    checkpoints: Mapping[str, Path]


@contextmanager
def new_lab(options: Options, console: Console) -> Iterator[Lab]:
    """A lab with a home of its own, which is gone after the block."""
    with new_home() as home:
        sizes = {**SIZES, "r3gan": R3GAN} if "gpu-r3gan" in options.sections else SIZES
        made = {name: add_model(home, name, size, seed=0) for name, size in sizes.items()}
        yield Lab(options, console, home, made)
