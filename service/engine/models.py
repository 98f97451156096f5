"""Loaded models: a least-recently-used cache, bounded in bytes, that loads each model once."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from ganmodels.config import TrainConfig
from ganmodels.games.match import restore
from ganmodels.labels import Clusters
from ganmodels.networks.discriminator import Discriminator
from ganmodels.sampling import Sampler
from ganmodels.scoring import Calibration, Mates, Scorer
from worker.store.checkpoints import Checkpoint


class LoadedModel(NamedTuple):
    """A checkpoint in memory, ready to sample, to score and, by direction, to translate."""

    config: TrainConfig
    sampler: Sampler
    scorer: Scorer
    translators: Mapping[str, Sampler]
    size_bytes: int


def load(checkpoint: Checkpoint) -> LoadedModel:
    """Read a checkpoint, verifying every byte that is used.

    Raises:
        CheckpointCorrupt: when it is damaged.
    """
    config = checkpoint.config()
    game, space = config.game, config.space
    held = {name: checkpoint.tensors(name) for name in game.players}
    networks = restore(config, held)
    discriminator = networks["discriminator"]
    assert isinstance(discriminator, Discriminator)
    quantiles = checkpoint.tensors("calibration")
    calibration = Calibration(quantiles["real"].numpy(), quantiles["fake"].numpy())
    clusters = {} if game.labels.given else checkpoint.tensors("clusters")
    mates = checkpoint.tensors("mates") if discriminator.mates_matter else {}
    told = Clusters(**clusters) if clusters else None
    company = Mates(**mates) if mates else None
    return LoadedModel(
        config,
        Sampler(game, space, networks["generator"], told),
        Scorer(game, space, discriminator, calibration, told, company),
        {way: Sampler(game, space, networks[name]) for way, name in game.directions.items()},
        _size_bytes(*held.values(), quantiles, clusters, mates),
    )


def _size_bytes(*files: Mapping[str, Tensor]) -> int:
    """What tensors occupy; what only training goes on from is not loaded and does not count."""
    return sum(tensor.nbytes for tensors in files for tensor in tensors.values())


class ModelCache:
    """Models by the digest of their checkpoint. Safe to use from several threads."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def get(self, checkpoint: Checkpoint) -> LoadedModel:
        """The model of a checkpoint; many who want it at once wait for one load."""
        digest = checkpoint.digest
        with self._lock:
            loading = self._loading.setdefault(digest, threading.Lock())
        try:
            with loading:
                with self._lock:
                    if digest in self._models:
                        self._models.move_to_end(digest)
                        return self._models[digest]
                model = load(checkpoint)
                with self._lock:
                    self._models[digest] = model
                    self._evict()
                return model
        finally:
            with self._lock:
                self._loading.pop(digest, None)

    def _evict(self) -> None:
        # The newest stays even if it alone is over the limit: it is about to be used.
        while len(self._models) > 1 and self._total_bytes() > self._limit_bytes:
            self._models.popitem(last=False)

    def _total_bytes(self) -> int:
        return sum(model.size_bytes for model in self._models.values())
