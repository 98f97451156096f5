"""What an evaluation shows beside its figures: nearest training images and logits' histograms."""

import json
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.data.batches import to_network
from ganmodels.data.packed import PackedDataset
from ganmodels.data.spread import evenly
from ganmodels.games.match import restore_pair
from ganmodels.labels import Clusters, labels_of
from ganmodels.networks.discriminator import Discriminator
from ganmodels.referee.evaluation.nearest import nearest_training
from ganmodels.rendering import as_png, image, tiled
from ganmodels.sampling import Sampler
from ganmodels.scoring import Mates, judge
from ganmodels.spaces import ImageSpace
from worker.checkpointing import BATCH_SIZE
from worker.store.checkpoints import Checkpoint

SHOWN = 10
_JUDGED, _BINS, _TILE_PIXELS = 1_000, 60, 64
_LEAST_REACH = 1e-6

Items = NDArray[np.generic]


class Players(NamedTuple):
    """Both networks of a checkpoint, ready to draw and to judge."""

    sampler: Sampler
    discriminator: Discriminator
    mates: Mates | None
    clusters: Clusters | None

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        weights: str,
        device: torch.device,
        source: PackedDataset | None = None,
    ) -> "Players":
        """The averages that are served, or the weights that train at the moment.

        What translates draws from the items of ``source``.

        Raises:
            CheckpointCorrupt: when a file is not as it was committed.
        """
        config = checkpoint.config()
        game, space = config.game, config.space
        if weights == "average":
            held = {name: checkpoint.tensors(name) for name in game.players}
        else:
            training = checkpoint.tensors("training")
            held = {name: _part(training, f"{name}/") for name in game.players}
        generator, discriminator = restore_pair(config, held)
        clusters = None if game.labels.given else Clusters(**checkpoint.tensors("clusters"))
        inputs = game.inputs(source)
        sampler = Sampler(game, space, generator, clusters, device, (BATCH_SIZE,), inputs)
        mates = Mates(**checkpoint.tensors("mates")) if discriminator.mates_matter else None
        return cls(sampler, discriminator.to(device), mates, clusters)


def neighbours(players: Players, dataset: PackedDataset, seed: int) -> bytes | None:
    """A PNG of three rows: real images, generated ones, and the training image nearest to each.

    The real ones are held out where the dataset holds some out. None for points.
    """
    if not isinstance(dataset.manifest.space, ImageSpace):
        return None
    fakes = players.sampler.draw(
        players.sampler.inputs(seed, 0, SHOWN), players.sampler.labels(seed, 0, SHOWN)
    )
    held_out = dataset.held_out if len(dataset.held_out) else dataset.training_indices
    reals = dataset.items[evenly(held_out, SHOWN)]
    nearest = dataset.items[nearest_training(fakes, dataset)]
    tiles = _enlarged(np.concatenate([_filled(reals), fakes, nearest]))
    return as_png(image(tiled(tiles, SHOWN)))


def scores(players: Players, dataset: PackedDataset, seed: int) -> bytes | None:
    """JSON: counts of the discriminator's logits in common bins, by the kind of item.

    At most 1,000 items of each kind. ``edges`` has one value more than there are counts. None
    where a logit is not finite.
    """
    sampler = players.sampler
    labels = sampler.labels(seed, 0, _JUDGED)
    fakes = sampler.draw(sampler.inputs(seed, 0, _JUDGED), labels)
    logits = {
        "training": _of_reals(players, dataset, dataset.training_indices),
        "held_out": _of_reals(players, dataset, dataset.held_out),
        "fake": _logits(players, fakes, labels),
    }
    together = np.concatenate(list(logits.values())).astype(np.float64)
    if not np.isfinite(together).all():
        return None
    edges = _edges(float(together.min()), float(together.max()))
    counted: dict[str, Any] = {"edges": edges.tolist()}
    for name, values in logits.items():
        counted[name] = np.histogram(values, edges)[0].tolist()
    return json.dumps(counted, allow_nan=False).encode()


def _edges(low: float, high: float) -> NDArray[np.float64]:
    """Edges of bins from ``low`` to ``high``, further apart where those are nearly equal."""
    middle = (low + high) / 2
    reach = _LEAST_REACH * max(1.0, abs(middle))
    return np.linspace(min(low, middle - reach), max(high, middle + reach), _BINS + 1)


def _of_reals(
    players: Players, dataset: PackedDataset, indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    chosen = evenly(indices, _JUDGED)
    if not len(chosen):
        return np.empty(0, dtype=np.float32)
    return _logits(players, dataset.items[chosen], labels_of(dataset, chosen, players.clusters))


def _logits(
    players: Players, items: Items, labels: NDArray[np.int64] | None
) -> NDArray[np.float32]:
    sampler = players.sampler
    with torch.inference_mode():
        seen = to_network(items, sampler.space, sampler.device)
        asked = None if labels is None else torch.from_numpy(labels)
        company = players.mates and players.mates.company(sampler.space, sampler.device)
        return judge(players.discriminator, seen, asked, sampler.batch_sizes[-1], company)


def _enlarged(images: Items) -> Items:
    """Images large enough to be looked at, each pixel of theirs a square of pixels."""
    factor = max(1, _TILE_PIXELS // max(images.shape[1:3]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _filled(items: Items) -> Items:
    """A whole row, however few there are."""
    return np.resize(items, (SHOWN, *items.shape[1:]))


def _part(tensors: dict[str, torch.Tensor], owner: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(owner): tensor
        for name, tensor in tensors.items()
        if name.startswith(owner)
    }
