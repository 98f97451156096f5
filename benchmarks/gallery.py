"""What each recipe draws of the built-in datasets after a minute: the pictures of docs/recipes.md.

    python -m benchmarks.gallery
    python -m benchmarks.gallery vanilla dcgan --minutes 2

Points learn the ring; recipes for images learn the digits. Of those that are given images, simgan
gets printed digits, and others the same digits with black and white exchanged. Pictures are what a
job's preview shows, in docs/images/recipes. Recipes for GPUs are left out.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from benchmarks.lab.mnist import Images
from benchmarks.lab.options import Options, read_options
from benchmarks.lab.packing import packed_images
from benchmarks.lab.playing import Task, play
from benchmarks.lab.rendered import rendered
from benchmarks.referee_lab.datasets import dataset
from ganmodels.data.packed import PackedDataset
from ganmodels.recipes import RECIPES
from worker.material import Material
from worker.previewing import preview

_FOLDER = Path(__file__).parent.parent / "docs" / "images" / "recipes"
_FOR_GPUS = {"r3gan", "r3gan-stacked-mnist"}
VARIANTS = tuple(name for name in RECIPES if name not in _FOR_GPUS)


def main() -> None:
    """Play each recipe and keep its picture."""
    options = read_options(__doc__ or "", VARIANTS, minutes=1)
    torch.set_num_threads(options.threads)
    console = Console()
    for recipe in options.variants:
        console.print(recipe, _draw(recipe, options))


def _draw(recipe: str, options: Options) -> dict[str, object]:
    """Write the picture; what the training took."""
    data, source = _material(recipe)
    played = play(Task(recipe, {}, data, source=source), options.seeds[0], options.budget)
    shown = preview(played.match, Material(data, source), played.clusters)
    shown.save(_FOLDER / f"{recipe}.png", optimize=True)
    return played.facts()


def _material(recipe: str) -> tuple[PackedDataset, PackedDataset | None]:
    """The dataset, and the source of what translates."""
    data = dataset("ring" if recipe == "points" else "digits")
    assert data is not None, "these datasets are built in"
    if recipe == "simgan":
        return data, packed_images(_printed(len(data.items), data.items.shape[1]))
    translates = bool(RECIPES[recipe].game.directions)
    return data, packed_images(255 - data.items[..., 0]) if translates else None


def _printed(count: int, edge: int) -> Images:
    """Digits of matplotlib's fonts in squares of so many pixels."""
    smaller = [Image.fromarray(one).resize((edge, edge)) for one in rendered(count, 0).images]
    return np.stack([np.asarray(one) for one in smaller])


if __name__ == "__main__":
    main()
