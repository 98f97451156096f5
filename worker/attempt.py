"""One attempt at a job: what the loop writes, in a directory of its own."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.games.gan import Match, State
from ganmodels.labels import Clusters
from ganmodels.rendering import picture
from ganmodels.sampling import Sampler
from ganmodels.scoring import CALIBRATION_ITEMS, calibrate
from ganmodels.spaces import ImageSpace
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment, Manifest, commit
from worker.store.files import fsync_directory, now, replace_file, replace_json
from worker.store.jobs import Epoch, Job

PREVIEW_SEED = 0
# Larger than in serving, where a lone request is what counts; here it is the time taken.
_BATCH_SIZE = 100
PREVIEW_ROWS, MOST_COLUMNS, PREVIEW_POINTS = 8, 16, 1_000


class Attempt:
    """Writes metrics, previews and checkpoints of one epoch of a job."""

    def __init__(
        self,
        job: Job,
        epoch: Epoch,
        config: TrainConfig,
        dataset: PackedDataset,
        environment: Environment,
        clusters: Clusters | None,
        store: Store,
    ) -> None:
        self.job, self.epoch, self.config = job, epoch, config
        self.environment, self._store = environment, store
        chosen = dataset.held_out if len(dataset.held_out) else dataset.training_indices
        chosen = chosen[:CALIBRATION_ITEMS]
        self._clusters = clusters
        self._held_out = np.array(dataset.items[chosen])
        self._held_out_labels = label(dataset, chosen, clusters)
        self._rate: float = 0.0
        self._means: dict[str, float] = job.progress().get("metrics", {})
        self._metrics = (epoch.path / "metrics.jsonl").open("ab")

    def close(self) -> None:
        """Close the metrics file."""
        self._metrics.close()

    def write_metrics(self, match: Match, means: dict[str, float], rate: float) -> None:
        """One row, to the file, the event log and the progress of the job."""
        row: dict[str, Any] = {"step": match.step, "images_seen": match.images_seen, **means}
        row |= {"images_per_second": round(rate, 1), "at": now()}
        self._metrics.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._metrics.flush()
        self._rate, self._means = rate, means
        self._write_progress(match)
        self.job.events.append("job.metrics", row)

    def write_preview(self, match: Match) -> None:
        """A picture of the same latents at every step."""
        sampler = self._sampler(match)
        classes = match.game.labels.classes(match.space)
        columns = classes if 2 <= classes <= MOST_COLUMNS else PREVIEW_ROWS
        count = PREVIEW_ROWS * columns if isinstance(match.space, ImageSpace) else PREVIEW_POINTS
        latents = sampler.latents(PREVIEW_SEED, 0, count)
        labels = np.arange(count) % max(1, classes)
        path = self.epoch.preview_path(match.step)
        path.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        picture(sampler.draw(latents, labels), match.space, columns).save(buffer, "PNG")
        replace_file(path, buffer.getvalue(), durable=False)
        self.job.events.append("preview.created", {"step": match.step})

    def write_checkpoint(self, match: Match) -> Checkpoint:
        """Commit the whole state, then prune what retention no longer keeps."""
        path = self.epoch.checkpoint_path(match.step)
        if path.exists():
            return Checkpoint(path)
        state = match.state()
        sampler = self._sampler(match)
        calibration = calibrate(
            sampler, match.average_discriminator, self._held_out, self._held_out_labels
        )
        manifest = Manifest(
            format_version=1,
            job=self.job.id,
            epoch=self.epoch.number,
            step=match.step,
            images_seen=match.images_seen,
            created_at=now(),
            environment=self.environment,
            files=(),
        )
        quantiles = {key: torch.from_numpy(value) for key, value in calibration._asdict().items()}
        tensors = {**split_state(state), "calibration": quantiles}
        if self._clusters is not None:
            tensors["clusters"] = self._clusters._asdict()
        checkpoint = commit(path, tensors, self.config, manifest)
        self._write_progress(match)
        self.job.events.append(
            "checkpoint.created", {"step": match.step, "digest": checkpoint.digest}
        )
        self._prune()
        return checkpoint

    def _sampler(self, match: Match) -> Sampler:
        return Sampler(
            match.game, match.space, match.average, self._clusters, match.device, _BATCH_SIZE
        )

    def _prune(self) -> None:
        schedule, checkpoints = self.config.schedule, self.job.checkpoints()
        needed = self._store.models.steps_in_use(self.job.id)
        for checkpoint in checkpoints[: -schedule.keep_last]:
            step = checkpoint.step
            if step in needed or (schedule.keep_every and step % schedule.keep_every == 0):
                continue
            remove(checkpoint)

    def _write_progress(self, match: Match) -> None:
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
        replace_json(self.job.path / "progress.json", progress, durable=False)


def label(
    dataset: PackedDataset, indices: NDArray[np.int64], clusters: Clusters | None
) -> NDArray[np.int64] | None:
    """Labels of some items: of their cluster, or the dataset's own if it has any."""
    if clusters is not None:
        return clusters.nearest(dataset.items[indices])
    return None if dataset.labels is None else np.array(dataset.labels[indices])


# What is served, and under which name: the averages of both networks.
_SERVED = {"average": "generator", "average_discriminator": "discriminator"}


def split_state(state: State) -> dict[str, dict[str, torch.Tensor]]:
    """The state by file: what serving needs lies apart from what only training needs."""
    files: dict[str, dict[str, torch.Tensor]] = {"training": {}}
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


def remove(checkpoint: Checkpoint) -> None:
    """Delete a checkpoint; it disappears in one step."""
    hidden: Path = checkpoint.path.with_name(f".{checkpoint.path.name}.trash")
    checkpoint.path.rename(hidden)
    fsync_directory(hidden.parent)
    for file in hidden.iterdir():
        file.unlink()
    hidden.rmdir()
