"""From a match at one step to a checkpoint on disk, in a thread beside the training."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from ganmodels.data.spread import evenly
from ganmodels.games.match import AVERAGE, Match, State, restore_pair
from ganmodels.labels import Clusters, labels_of
from ganmodels.sampling import Sampler
from ganmodels.scoring import CALIBRATION_ITEMS, Mates, Probe, calibrate
from worker.cadence import Cadence
from worker.errors import Unavailable
from worker.material import MaterialGuard
from worker.store import Store
from worker.store.best import read_best
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt, Environment, Manifest, commit
from worker.store.claims import Claim
from worker.store.files import now, remove_directory
from worker.store.job import Job

# Larger than in serving, where a lone request is what counts; here it is the time taken.
BATCH_SIZE = 100
# Readings until a failure is named, from its first sign.
_LONGEST_WINDOW = 12

# Mates are chosen among so many items, so that not all are read for it.
_CHOICE = 1_000

Files = Mapping[str, Mapping[str, Tensor]]


class Snapshot(NamedTuple):
    """A match at one step, copied to the machine's memory: nothing changes it any more."""

    step: int
    images_seen: int
    files: Files
    pause_seconds: float

    @classmethod
    def of(cls, match: Match) -> "Snapshot":
        """A copy of the whole state; this is all that training waits for."""
        began = time.perf_counter()
        files = {
            name: {key: _copied(tensor) for key, tensor in tensors.items()}
            for name, tensors in split_state(match.state()).items()
        }
        return cls(match.step, match.images_seen, files, time.perf_counter() - began)


class CheckpointWriter:
    """Calibrates, commits and prunes the checkpoints of one attempt."""

    def __init__(
        self,
        store: Store,
        job: Job,
        claim: Claim,
        guard: MaterialGuard,
        environment: Environment,
        clusters: Clusters | None,
        device: torch.device,
    ) -> None:
        self._store, self._job, self._claim, self._config = store, job, claim, job.config()
        self._environment, self._clusters, self._device = environment, clusters, device
        self._guard, self._cadence = guard, Cadence(store, job)
        self._probe: Probe | None = None

    def write(self, snapshot: Snapshot) -> None:
        """Commit a checkpoint, then prune what retention no longer keeps.

        Raises:
            DataError: when a dataset was changed or deleted meanwhile.
            Fenced: when another attempt has taken over; nothing was committed.
            OSError: when the disk is full or fails; nothing was committed.
        """
        began = time.perf_counter()
        self._claim.check()
        self._guard.check()
        files = {**snapshot.files, **self._calibrate(snapshot.files)}
        if self._clusters is not None:
            files["clusters"] = self._clusters._asdict()
        path = self._claim.epoch.checkpoint_path(snapshot.step)
        checkpoint = commit(path, files, self._config, self._manifest(snapshot), self._claim.check)
        told = {
            "step": snapshot.step,
            "digest": checkpoint.digest,
            "pause_seconds": round(snapshot.pause_seconds, 4),
            "write_seconds": round(time.perf_counter() - began, 4),
        }
        self._job.events.append("checkpoint.created", told)
        self._cadence.consider(checkpoint)
        self._prune()

    def finish(self) -> None:
        """The training has finished: its last checkpoint is evaluated, where any was."""
        self._cadence.finish()

    def _calibrate(self, files: Files) -> Files:
        """Measure the discriminator of a snapshot, with networks of its own."""
        game, space = self._config.game, self._config.space
        generator, discriminator = restore_pair(self._config, files)
        inputs = game.inputs(self._guard.material.source)
        sampler = Sampler(
            game, space, generator, self._clusters, self._device, (BATCH_SIZE,), inputs
        )
        if self._probe is None:
            self._probe = self._make_probe(sampler)
        mates = self._mates() if discriminator.mates_matter else None
        measured = calibrate(sampler, discriminator.to(self._device), self._probe, mates)
        quantiles = {key: torch.from_numpy(value) for key, value in measured._asdict().items()}
        return {"calibration": quantiles} | ({"mates": mates.tensors()} if mates else {})

    def _mates(self) -> Mates:
        dataset = self._guard.material.dataset
        chosen = evenly(dataset.training_indices, _CHOICE)
        labels = labels_of(dataset, chosen, self._clusters)
        optimisation = self._config.optimisation
        at_once = optimisation.batch_size // optimisation.accumulate
        return Mates.of(dataset.items[chosen], labels, at_once)

    def _make_probe(self, sampler: Sampler) -> Probe:
        dataset = self._guard.material.dataset
        held_out = dataset.held_out if len(dataset.held_out) else dataset.training_indices
        chosen = evenly(held_out, CALIBRATION_ITEMS)
        labels = labels_of(dataset, chosen, self._clusters)
        return Probe.of(sampler, dataset.items[chosen], labels)

    def _manifest(self, snapshot: Snapshot) -> Manifest:
        return Manifest(
            job=self._job.id,
            epoch=self._claim.epoch.number,
            step=snapshot.step,
            images_seen=snapshot.images_seen,
            created_at=now(),
            environment=self._environment,
        )

    def _prune(self) -> None:
        # Where somebody is at it for too long, or it is not known what must stay, the next
        # checkpoint's turn will do: this one is safe already.
        with suppress(Unavailable, CheckpointCorrupt, OSError), self._store.evaluations.changing():
            needed = self._needed()
            for checkpoint in [*self._old(), *self._job.void_checkpoints()]:
                # One that cannot be read stays where it is.
                with suppress(CheckpointCorrupt, OSError):
                    if checkpoint.digest not in needed:
                        remove_directory(checkpoint.path)

    def _old(self) -> list[Checkpoint]:
        schedule = self._config.schedule
        regular = schedule.keep_every
        return [
            checkpoint
            for checkpoint in self._job.checkpoints()[: -schedule.keep_last]
            if not (regular and checkpoint.step % regular == 0)
        ]

    def _needed(self) -> set[str]:
        """Digests of those that must stay, asked for in the order in which they change."""
        store, job = self._store, self._job
        pending, best = store.evaluations.pinned(job.id), read_best(job)
        kept = {best.digest} if best else set()
        if point := self._return_point():
            kept.add(point.digest)
        return pending | kept | store.models.checkpoints_in_use(job.id)

    def _return_point(self) -> Checkpoint | None:
        """The newest checkpoint from before anything that the referee may still find out."""
        referee, schedule = self._config.referee, self._config.schedule
        if "rollback" not in referee.on_warning.model_dump().values():
            return None
        checkpoints = self._job.checkpoints()
        span = _LONGEST_WINDOW * max(referee.read_every, schedule.metrics_every)
        old = [c for c in checkpoints if c.step < checkpoints[-1].step - span]
        return old[-1] if old else next(iter(checkpoints), None)


def split_state(state: State) -> dict[str, dict[str, Tensor]]:
    """The state by file: the averages, which serving needs, lie apart from all else."""
    files: dict[str, dict[str, Tensor]] = {"training": {}}
    for key, tensor in state.tensors.items():
        owner, _, name = key.partition("/")
        if owner.endswith(AVERAGE):
            files.setdefault(owner.removesuffix(AVERAGE), {})[name] = tensor
        else:
            files["training"][key] = tensor
    return files


def join_state(checkpoint: Checkpoint) -> State:
    """The state of a checkpoint: the reverse of ``split_state``."""
    tensors = dict(checkpoint.tensors("training"))
    for name in checkpoint.config().game.players:
        held = checkpoint.tensors(name)
        tensors |= {f"{name}{AVERAGE}/{key}": value for key, value in held.items()}
    return State(tensors, checkpoint.step)


def _copied(tensor: Tensor) -> Tensor:
    """A copy in the machine's memory, laid out as files need it."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
