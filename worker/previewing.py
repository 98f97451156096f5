"""The pictures that are taken of a match on its way, of the same inputs at every step."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganmodels.games.match import Match
from ganmodels.inputs import ItemInputs
from ganmodels.labels import Clusters
from ganmodels.rendering import picture
from ganmodels.sampling import Sampler
from ganmodels.spaces import ImageSpace
from worker.checkpointing import BATCH_SIZE
from worker.material import Material

PREVIEW_SEED = 0
PREVIEW_ROWS, MOST_COLUMNS, PREVIEW_POINTS = 8, 16, 1_000
# Items beside what is made of them.
_PAIR_COLUMNS = 8


def preview(match: Match, material: Material, clusters: Clusters | None) -> Image.Image:
    """What the average generators make now; where they translate, beside what they were given.

    Each class has a column where there are few; points are drawn in one plot.
    """
    if match.game.directions:
        return _translations(match, material)
    game, space = match.game, match.space
    inputs = game.inputs(material.source)
    sampler = Sampler(game, space, match.average, clusters, match.device, (BATCH_SIZE,), inputs)
    classes = game.labels.classes(space)
    columns = classes if 2 <= classes <= MOST_COLUMNS else PREVIEW_ROWS
    count = PREVIEW_ROWS * columns if isinstance(space, ImageSpace) else PREVIEW_POINTS
    labels = np.arange(count) % max(1, classes)
    return picture(sampler.draw(sampler.inputs(PREVIEW_SEED, 0, count), labels), space, columns)


def _translations(match: Match, material: Material) -> Image.Image:
    """Rows of pairs, each an item and what is made of it; all of one direction, then the other."""
    given = {"a2b": material.source, "b2a": material.dataset}
    shown: list[NDArray[np.generic]] = []
    count = PREVIEW_ROWS * _PAIR_COLUMNS // 2 // len(match.game.directions)
    for direction, player in match.game.directions.items():
        dataset = given[direction]
        assert dataset is not None, "what translates has a source"
        average = match.players[player].average
        sampler = Sampler(match.game, match.space, average, None, match.device, (BATCH_SIZE,))
        items = ItemInputs(dataset).at(PREVIEW_SEED, 0, count)
        made = sampler.draw(items, np.zeros(count, dtype=np.int64))
        shown.append(np.stack([items, made], axis=1).reshape(-1, *items.shape[1:]))
    return picture(np.concatenate(shown), match.space, _PAIR_COLUMNS)
