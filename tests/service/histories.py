"""Jobs with a history that was written down, not trained: a mode collapse and its evaluations."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.worker.builders import make_job
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment, Manifest, commit
from worker.store.job import Job

STEPS, EVERY = 2_000, 100
COLLAPSE = 1_200
PROTOCOL = {
    "measures": ["frechet", "manifold"],
    "samples": 500,
    "reference": "held_out",
    "reference_samples": 359,
    "features": "random",
    "features_sha256": "ab" * 32,
    "weights": "average",
    "seed": 0,
}
DIAGNOSIS: dict[str, Any] = {
    "code": "mode_collapse",
    "confidence": 0.93,
    "since_step": COLLAPSE,
    "detail": "the fakes are a third as different from each other as reals",
    "evidence": {"diversity": 0.31, "groups_covered": 0.2},
    "remedy": {
        "detail": "punish steep discriminators",
        "patch": {"game": {"penalties": [{"kind": "r1", "gamma": 0.5}]}},
    },
}


def collapsed_job(store: Store, **changes: Any) -> Job:
    """A job whose generator collapsed at step 1,200, with all that a referee writes down."""
    job = make_job(store, schedule={"steps": STEPS, "metrics_every": EVERY}, **changes)
    epoch = write_epoch(job, 1, 0, [row(step) for step in range(EVERY, STEPS + 1, EVERY)])
    health = {"verdict": "failing", "step": STEPS, "diagnoses": [DIAGNOSIS]}
    progress = {"step": STEPS, "images_seen": STEPS * 8, "metrics": {}, "health": health}
    (epoch / "progress.json").write_text(json.dumps(progress))
    job.events.append("job.warning", {**DIAGNOSIS, "step": COLLAPSE + EVERY})
    previews(epoch, [EVERY, STEPS])
    for step in (STEPS, 1_000):
        made = checkpoint(job, epoch, step)
        evaluation(job, step, frechet=step / 100)
    best = {"step": 1_000, "digest": made.digest, "measure": "frechet", "value": 10.0}
    (job.path / "best.json").write_text(json.dumps({**best, "standard_error": 0.4}))
    return job


def row(step: int) -> dict[str, Any]:
    """A row of metrics as the referee leaves it."""
    late, part = step >= COLLAPSE, step / STEPS
    return {
        "step": step,
        "images_seen": step * 8,
        "discriminator_loss": 0.7 - 0.6 * part,
        "generator_loss": 0.7 + part + math.sin(step),
        "discriminator_loss_smooth": 0.7 - 0.6 * part,
        "generator_loss_smooth": 0.7 + part,
        "penalty": 0.01,
        "real_logit": part,
        "fake_logit": -part,
        "discriminator_gradient_norm": 0.5,
        "generator_gradient_norm": 10 ** (-3 * part),
        "real_accuracy": 0.6 + 0.3 * part,
        "held_out_accuracy": None if step == EVERY else 0.6,
        "fake_accuracy": 0.7,
        "pair_accuracy": 0.7,
        "held_out_pair_accuracy": 0.6,
        "overfitting_rt": 0.2,
        "overfitting_rv": 0.1,
        "diversity": 0.3 if late else 0.9,
        "diversity_within_labels": 0.3 if late else 0.8,
        "energy_distance": 0.4 if late else 0.1,
        "neighbour_ratio": 0.9,
        "histogram": [0.97, 0.01, 0.02] if late else [0.3, 0.3, 0.4],
        "histogram_drift": 0.1,
        "histogram_gap": 0.6 if late else 0.1,
        "groups_covered": 0.2 if late else 1.0,
        "diagnoses": ["mode_collapse"] if late else [],
    }


def write_epoch(job: Job, number: int, start: int, rows: list[dict[str, Any]]) -> Path:
    """An attempt that went on from a step and wrote these rows."""
    epoch = job.path / "epochs" / f"{number:04d}"
    epoch.mkdir(parents=True)
    (epoch / "epoch.json").write_text(json.dumps({"start_step": start}))
    (epoch / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for entry in rows:
        job.events.append("job.metrics", entry)
    return epoch


def previews(epoch: Path, steps: list[int], size: tuple[int, int] = (178, 142)) -> None:
    """Pictures of steps; by default ten columns and eight rows of 16 pixels a side."""
    (epoch / "previews").mkdir()
    for step in steps:
        values = np.random.default_rng(step).integers(0, 256, size[::-1], dtype=np.uint8)
        Image.fromarray(values).save(epoch / "previews" / f"{step:09d}.png")


def checkpoint(job: Job, epoch: Path, step: int) -> Checkpoint:
    """A checkpoint with next to nothing in it."""
    manifest = Manifest(
        job=job.id,
        epoch=int(epoch.name),
        step=step,
        images_seen=step * 8,
        created_at="2026-01-01T00:00:00Z",
        environment=Environment(torch="2.13", device="cpu", threads=1, precision="float32"),
    )
    (epoch / "checkpoints").mkdir(exist_ok=True)
    path = epoch / "checkpoints" / f"step-{step:09d}"
    return commit(path, {"generator": {"weight": torch.zeros(1)}}, job.config(), manifest)


def evaluation(job: Job, step: int, frechet: float) -> None:
    """An evaluation with all its files."""
    directory = job.path / "evaluations" / f"ev_{step:032d}"
    directory.mkdir(parents=True)
    figures = {
        "frechet": {"value": frechet, "standard_error": 0.42, "floor": 1.5, "better": "lower"},
        "precision": {"value": 0.81, "standard_error": 0.02, "floor": 0.97, "better": "higher"},
        "critic_accuracy": {"value": 0.75, "better": "half"},
        "support_size": {"value": 5_000.0, "better": "higher", "at_least": True},
    }
    findings = {"protocol": PROTOCOL, "figures": figures, "left_out": {"modes": "no labels"}}
    record = {"id": directory.name, "status": "succeeded", "step": step, "findings": findings}
    record |= {"created_at": f"2026-01-01T00:00:{step // 100:02d}Z"}
    (directory / "evaluation.json").write_text(json.dumps(record))
    histograms = {"edges": [-1.0, 0.0, 1.0, 2.0], "training": [1, 2, 6], "held_out": [1, 6, 2]}
    (directory / "scores.json").write_text(json.dumps({**histograms, "fake": [7, 2, 0]}))
    Image.new("L", (98, 28)).save(directory / "neighbours.png")
