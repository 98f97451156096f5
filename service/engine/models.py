"""Loaded models: a least-recently-used cache, bounded in bytes, that loads each model once."""

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ganmodels.calibration import Calibration
from ganmodels.config import TrainConfig
from ganmodels.games.match import restore
from ganmodels.labels import Clusters
from ganmodels.machine import is_out_of_memory
from ganmodels.networks.discriminator import Discriminator
from ganmodels.preparation import Preparation, prepare
from ganmodels.sampling import Sampler
from ganmodels.scoring import Mates, Scorer
from worker.engine import choose_device
from worker.settings import Settings
from worker.store.checkpoints import Checkpoint

log = logging.getLogger("ringside.api")


class LoadedModel(NamedTuple):
    """A checkpoint in memory, ready to sample, to score and, by direction, to translate."""

    config: TrainConfig
    sampler: Sampler
    scorer: Scorer
    translators: Mapping[str, Sampler]
    size_bytes: int
    preparation: Preparation


def sampling_device(settings: Settings) -> torch.device:
    """Where models sample and score.

    Raises:
        DeviceUnavailable: when it is not there.
    """
    return choose_device(settings.sampling_device, "RINGSIDE_SAMPLING_DEVICE")


def load(checkpoint: Checkpoint, device: torch.device) -> LoadedModel:
    """Read a checkpoint onto a device, verifying every byte that is used.

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
    ready = {
        name: prepare(networks[name], game, space, device)
        for name in {"generator", *game.directions.values()}
    }

    def sampler(name: str, told: Clusters | None = None) -> Sampler:
        sizes = ready[name].batch_sizes
        return Sampler(game, space, ready[name].network, told, device, sizes)

    return LoadedModel(
        config,
        sampler("generator", told),
        Scorer(game, space, discriminator, calibration, told, company, device),
        {way: sampler(name) for way, name in game.directions.items()},
        _size_bytes(*held.values(), quantiles, clusters, mates),
        ready["generator"].choice,
    )


def _size_bytes(*files: Mapping[str, Tensor]) -> int:
    """What tensors occupy; what only training goes on from is not loaded and does not count."""
    return sum(tensor.nbytes for tensors in files for tensor in tensors.values())


class ModelCache:
    """Models by the digest of their checkpoint, each loaded once, bounded in bytes.

    A model is leased while it is used. What is leased stays; of the others the least recently
    used go first. Safe to use from several threads.
    """

    def __init__(
        self,
        limit_bytes: int,
        device: torch.device,
        told: Callable[[int], object] = lambda _: None,
    ) -> None:
        """``told`` is given the bytes in memory after each load."""
        self._limit_bytes, self._device, self._told = limit_bytes, device, told
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        self._preparations: dict[str, Preparation] = {}
        self._leases: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def holds(self, digest: str) -> bool:
        """Whether a model is in memory."""
        return digest in self._models

    def preparation(self, digest: str) -> Preparation | None:
        """How a model was made ready when it was loaded last, if it ever was."""
        return self._preparations.get(digest)

    @contextmanager
    def lease(self, checkpoint: Checkpoint) -> Iterator[LoadedModel]:
        """The model of a checkpoint, kept in memory meanwhile; many who want it wait for one load.

        Raises:
            CheckpointCorrupt: when it cannot be loaded.
        """
        digest = checkpoint.digest
        with self._lock:
            self._leases[digest] += 1
        try:
            yield self._found(digest) or self._load(checkpoint)
        finally:
            with self._lock:
                self._leases[digest] -= 1
                self._evict()

    def _found(self, digest: str) -> LoadedModel | None:
        with self._lock:
            if digest in self._models:
                self._models.move_to_end(digest)
            return self._models.get(digest)

    def _load(self, checkpoint: Checkpoint) -> LoadedModel:
        digest = checkpoint.digest
        with self._lock:
            loading = self._loading.setdefault(digest, threading.Lock())
        try:
            with loading:
                if found := self._found(digest):
                    return found
                model = self._read(checkpoint)
                with self._lock:
                    self._models[digest] = model
                    self._preparations[digest] = model.preparation
                    self._evict()
                    self._told(self._size_bytes())
                return model
        finally:
            with self._lock:
                self._loading.pop(digest, None)

    def _read(self, checkpoint: Checkpoint) -> LoadedModel:
        """The model; where it gets no memory, in place of all that nobody uses just now."""
        try:
            return load(checkpoint, self._device)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("no memory for a model; those that are not in use make room: %s", error)
        with self._lock:
            for digest in self._idle():
                self._drop(digest)
        # Does nothing where there is no GPU.
        torch.cuda.empty_cache()
        return load(checkpoint, self._device)

    def _evict(self) -> None:
        excess = self._size_bytes() - self._limit_bytes
        for digest in self._idle():
            # The newest stays even if it alone is over the limit: it will be used again.
            if excess <= 0 or len(self._models) == 1:
                return
            excess -= self._drop(digest)

    def _idle(self) -> list[str]:
        """Models that nobody uses just now, the least recently used first."""
        return [digest for digest in self._models if not self._leases[digest]]

    def _drop(self, digest: str) -> int:
        """Forget a model; returns its bytes."""
        del self._leases[digest]
        return self._models.pop(digest).size_bytes

    def _size_bytes(self) -> int:
        return sum(model.size_bytes for model in self._models.values())
