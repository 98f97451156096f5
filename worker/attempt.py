"""One attempt at a job: what the loop writes, in an epoch of its own."""

import errno
import io
import json
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganmodels.data.packed import PackedDataset
from ganmodels.games.gan import Match, State
from ganmodels.labels import Clusters
from ganmodels.rendering import picture
from ganmodels.sampling import Sampler
from ganmodels.scoring import CALIBRATION_ITEMS, calibrate
from ganmodels.spaces import ImageSpace
from worker.saving import Saver
from worker.store import Store
from worker.store.checkpoints import (
    FORMAT_VERSION,
    Checkpoint,
    Environment,
    Manifest,
    commit,
)
from worker.store.claims import Claim
from worker.store.files import now, remove_directory, replace_file, replace_json
from worker.store.jobs import Job

PREVIEW_SEED = 0
# Larger than in serving, where a lone request is what counts; here it is the time taken.
_BATCH_SIZE = 100
PREVIEW_ROWS, MOST_COLUMNS, PREVIEW_POINTS = 8, 16, 1_000


class Snapshot(NamedTuple):
    """A match at one step, copied to the machine's memory: nothing changes it any more."""

    step: int
    images_seen: int
    files: Mapping[str, Mapping[str, Tensor]]
    pause_seconds: float

    @property
    def size_bytes(self) -> int:
        """What it takes in memory and, nearly, on disk."""
        return sum(t.nbytes for tensors in self.files.values() for t in tensors.values())


class Attempt:
    """Writes metrics, previews and checkpoints of one epoch of a job."""

    def __init__(
        self,
        store: Store,
        job: Job,
        claim: Claim,
        dataset: PackedDataset,
        environment: Environment,
        clusters: Clusters | None,
    ) -> None:
        self.job, self.claim, self.config = job, claim, job.config()
        self._store, self._environment, self._clusters = store, environment, clusters
        chosen = dataset.held_out if len(dataset.held_out) else dataset.training_indices
        chosen = chosen[:CALIBRATION_ITEMS]
        self._held_out = np.array(dataset.items[chosen])
        self._held_out_labels = label(dataset, chosen, clusters)
        self._dataset, self._dataset_files = dataset, dataset.signature()
        self._rate: float = 0.0
        self._means: dict[str, float] = job.progress().get("metrics", {})
        # What the next checkpoint takes, as far as one can know.
        self.checkpoint_bytes = 0
        self._metrics = (claim.epoch.path / "metrics.jsonl").open("ab", buffering=0)
        self._saver = Saver()

    def close(self) -> None:
        """Let what is being written end, and close everything."""
        self._saver.close()
        self._metrics.close()

    def check(self) -> None:
        """Make sure that the attempt may go on.

        Raises:
            Fenced: when another attempt has taken over.
            OSError: when a checkpoint could not be written in the background.
        """
        self.claim.check()
        self._saver.check()

    def write_metrics(self, match: Match, means: dict[str, float], rate: float) -> None:
        """One row, to the file, the event log and the progress of the job."""
        self.claim.check()
        row: dict[str, Any] = {"step": match.step, "images_seen": match.images_seen, **means}
        row |= {"images_per_second": round(rate, 1), "at": now()}
        _write_line(self._metrics, row)
        self._rate, self._means = rate, means
        self.write_progress(match)
        self.job.events.append("job.metrics", row)

    def write_preview(self, match: Match) -> None:
        """A picture of the same latents at every step."""
        self.claim.check()
        sampler = self._sampler(match)
        classes = match.game.labels.classes(match.space)
        columns = classes if 2 <= classes <= MOST_COLUMNS else PREVIEW_ROWS
        count = PREVIEW_ROWS * columns if isinstance(match.space, ImageSpace) else PREVIEW_POINTS
        latents = sampler.latents(PREVIEW_SEED, 0, count)
        labels = np.arange(count) % max(1, classes)
        path = self.claim.epoch.preview_path(match.step)
        path.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        picture(sampler.draw(latents, labels), match.space, columns).save(buffer, "PNG")
        replace_file(path, buffer.getvalue(), durable=False)
        self.job.events.append("preview.created", {"step": match.step})

    def write_progress(self, match: Match) -> None:
        """Where the training is, for those who look."""
        rate = self._rate
        left = (match.total_steps - match.step) * match.images_seen / max(1, match.step)
        progress = {
            "step": match.step,
            "images_seen": match.images_seen,
            "images_per_second": round(rate, 1),
            "eta_seconds": round(left / rate, 1) if rate else None,
            "metrics": self._means,
            "updated_at": now(),
        }
        # Not fsynced: it is rewritten at the next reading, and the checkpoints hold the truth.
        replace_json(self.claim.epoch.path / "progress.json", progress, durable=False)

    def save(self, match: Match) -> None:
        """Copy the whole state, and write it in the background while training goes on.

        While the checkpoint before is still being written this one is left out, so that a slow
        disk slows nothing down and memory holds one copy at most; a milestone is waited for.
        """
        every = self.config.schedule.keep_every
        if self._saver.is_writing and not (every and match.step % every == 0):
            self.job.events.append("checkpoint.skipped", {"step": match.step})
            return
        self._saver.wait()
        snapshot = self._snapshot(match)
        self._saver.start(lambda: self._write(snapshot))

    def save_last(self, match: Match) -> None:
        """Write the state, unless it was written already, and wait until it is on disk."""
        self._saver.wait()
        if not self.claim.epoch.checkpoint_path(match.step).exists():
            self._write(self._snapshot(match))
        self.write_progress(match)

    def _snapshot(self, match: Match) -> Snapshot:
        began = time.perf_counter()
        calibration = calibrate(
            self._sampler(match),
            match.average_discriminator,
            self._held_out,
            self._held_out_labels,
        )
        files = {
            name: {key: copied(tensor) for key, tensor in tensors.items()}
            for name, tensors in split_state(match.state()).items()
        }
        files["calibration"] = {k: torch.from_numpy(v) for k, v in calibration._asdict().items()}
        if self._clusters is not None:
            files["clusters"] = self._clusters._asdict()
        pause_seconds = time.perf_counter() - began
        return Snapshot(match.step, match.images_seen, files, pause_seconds)

    def _write(self, snapshot: Snapshot) -> None:
        """Commit a checkpoint, then prune what retention no longer keeps."""
        began = time.perf_counter()
        self.checkpoint_bytes = snapshot.size_bytes
        if self._dataset.signature() != self._dataset_files:
            # Only the hash tells whether the content has changed.
            self._dataset.verify()
            self._dataset_files = self._dataset.signature()
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            job=self.job.id,
            epoch=self.claim.epoch.number,
            step=snapshot.step,
            images_seen=snapshot.images_seen,
            created_at=now(),
            environment=self._environment,
            files=(),
        )
        # A checkpoint that is there after a power cut has all rows before it.
        os.fsync(self._metrics.fileno())
        path = self.claim.epoch.checkpoint_path(snapshot.step)
        checkpoint = commit(path, snapshot.files, self.config, manifest, self.claim.check)
        told = {
            "step": snapshot.step,
            "digest": checkpoint.digest,
            "pause_seconds": round(snapshot.pause_seconds, 4),
            "write_seconds": round(time.perf_counter() - began, 4),
        }
        self.job.events.append("checkpoint.created", told)
        self._prune()

    def _prune(self) -> None:
        schedule, job = self.config.schedule, self.job
        regular = schedule.keep_every
        old = [
            checkpoint
            for checkpoint in job.checkpoints()[: -schedule.keep_last]
            if not (regular and checkpoint.step % regular == 0)
        ]
        needed = self._store.models.checkpoints_in_use(job.id)
        for checkpoint in [*old, *job.void_checkpoints()]:
            if checkpoint.digest not in needed:
                remove_directory(checkpoint.path)

    def _sampler(self, match: Match) -> Sampler:
        return Sampler(
            match.game, match.space, match.average, self._clusters, match.device, _BATCH_SIZE
        )


def copied(tensor: Tensor) -> Tensor:
    """A copy in the machine's memory, laid out as files need it."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _write_line(file: io.FileIO, row: Mapping[str, Any]) -> None:
    """All or an error: a row that was cut off would spoil the one after it."""
    line = json.dumps(row, allow_nan=False).encode() + b"\n"
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, "the row was cut off")


def label(
    dataset: PackedDataset, indices: NDArray[np.int64], clusters: Clusters | None
) -> NDArray[np.int64] | None:
    """Labels of some items: of their cluster, or the dataset's own if it has any."""
    if clusters is not None:
        return clusters.nearest(dataset.items[indices])
    return None if dataset.labels is None else np.array(dataset.labels[indices])


# What is served, and under which name: the averages of both networks.
_SERVED = {"average": "generator", "average_discriminator": "discriminator"}


def split_state(state: State) -> dict[str, dict[str, Tensor]]:
    """The state by file: what serving needs lies apart from what only training needs."""
    files: dict[str, dict[str, Tensor]] = {"training": {}}
    for key, tensor in state.tensors.items():
        owner, _, name = key.partition("/")
        if owner in _SERVED:
            files.setdefault(_SERVED[owner], {})[name] = tensor
        else:
            files["training"][key] = tensor
    return files


def join_state(checkpoint: Checkpoint) -> State:
    """The state of a checkpoint: the reverse of ``split_state``."""
    tensors = dict(checkpoint.tensors("training"))
    for owner, name in _SERVED.items():
        tensors |= {f"{owner}/{key}": value for key, value in checkpoint.tensors(name).items()}
    return State(tensors, checkpoint.step)
