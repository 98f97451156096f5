"""What was trained, on what and how it went: facts of a job in words."""

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from pydantic import BaseModel

from ganmodels.config import TrainConfig
from ganmodels.data.errors import DataError
from ganmodels.data.packed import Manifest
from ganmodels.spaces import ImageSpace, Space
from worker.errors import NotFound
from worker.store import Store
from worker.store.checkpoints import Checkpoint, CheckpointCorrupt
from worker.store.job import Job
from worker.store.records import JobRecord, Status

_CHANNELS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}
_MOST_CLASSES = 20
_STATES: Mapping[Status, str] = {
    "queued": "The job waits for a worker; it is at step {step} of {total}.",
    "running": "The job is training: it is at step {step} of {total}.",
    "paused": "The job is paused at step {step} of {total}.",
    "succeeded": "The training ran to its end: {step} of {total} steps.",
    "failed": "The training failed at step {step} of {total}.",
    "canceled": "The training was canceled at step {step} of {total}.",
}


class Fact(NamedTuple):
    """A line of a table of two columns."""

    name: str
    value: str


def describe_state(record: JobRecord, config: TrainConfig, step: int) -> str:
    """The state of the job, and the rule that ended it if one did."""
    total = f"{config.schedule.steps:,}"
    if record.stopped_by:
        rule = record.stopped_by.rule.replace("_", " ")
        return f"The rule {rule} ended it at step {step:,} of {total}: {record.stopped_by.detail}."
    return _STATES[record.status].format(step=f"{step:,}", total=total)


def describe_verdict(health: Mapping[str, Any]) -> str:
    """What the referee says, in a sentence; ``health`` may be empty."""
    if not health.get("verdict"):
        return "The referee has not given a verdict yet."
    step, verdict = health.get("step"), str(health["verdict"]).replace("_", " ")
    when = f" at step {step:,}" if isinstance(step, int) else ""
    return f"The referee's verdict{when}: {verdict}."


def describe_training(
    job: Job, record: JobRecord, config: TrainConfig, progress: Mapping[str, Any]
) -> list[Fact]:
    """Recipe, game, optimisation, extent and exactness."""
    game, optimisation = config.game, config.optimisation
    rates = (optimisation.generator.learning_rate, optimisation.discriminator.learning_rate)
    return [
        Fact("job", job.id),
        Fact("model", record.model or "none"),
        Fact(
            "recipe", record.recipe + (", chosen for the dataset" if record.recipe_chosen else "")
        ),
        Fact("seed", str(config.seed)),
        Fact("steps", f"{progress.get('step', 0):,} of {config.schedule.steps:,}"),
        Fact("images seen", f"{progress.get('images_seen', 0):,}"),
        Fact("attempts", str(record.attempt)),
        Fact("rollbacks", str(record.rollbacks)),
        Fact("exact", _EXACT[record.exact]),
        Fact("game", game.kind.replace("_", " ")),
        *(Fact(name.replace("_", " "), _told(value)) for name, value in game if name != "kind"),
        Fact("batch size", str(optimisation.batch_size)),
        Fact("learning rates", "generator {:g}, discriminator {:g}".format(*rates)),
        Fact("decay", _words(optimisation.decay)),
        *_times(record),
    ]


_EXACT = {
    True: "yes: it ends bit for bit as if it had never been interrupted",
    False: "no: it went on in another environment",
}


def describe_data(store: Store, config: TrainConfig) -> list[Fact]:
    """The dataset, as far as it is still there."""
    facts = [Fact("id", config.dataset), Fact("items", _describe_space(config.space))]
    names = [name for name, known in store.datasets.names().items() if known == config.dataset]
    facts.insert(0, Fact("names", ", ".join(names) or "none"))
    manifest = _manifest(store, config.dataset)
    if manifest is None:
        facts.append(Fact("state", "deleted or damaged since"))
    else:
        facts.append(Fact("count", f"{manifest.count:,}, {manifest.held_out_count:,} held out"))
    if config.source:
        facts.append(Fact("source", config.source.dataset))
    classes = config.space.classes
    shown = ", ".join(classes[:_MOST_CLASSES]) + (", ..." if len(classes) > _MOST_CLASSES else "")
    facts.append(Fact("classes", f"{len(classes)}: {shown}" if classes else "none"))
    return facts


def describe_environment(checkpoint: Checkpoint | None) -> list[Fact]:
    """What the bits of the newest checkpoint depend on beside the configuration."""
    if checkpoint is None:
        return []
    with suppress(CheckpointCorrupt):
        environment = checkpoint.manifest.environment.model_dump()
        return [Fact(name, str(value) or "not known") for name, value in environment.items()]
    return []


def reproduction(
    record: JobRecord, config: TrainConfig, start: Checkpoint | None
) -> dict[str, Any]:
    """The body of a ``POST /train`` that asks for the same training, every default written out."""
    parts = config.model_dump(mode="json", exclude={"space", "source", "start"})
    body = {"dataset": parts.pop("dataset"), "recipe": record.recipe, **parts}
    if config.source:
        body["source"] = config.source.dataset
    if config.start and start:
        with suppress(CheckpointCorrupt):
            body["start_from"] = f"{start.manifest.job}:{start.step}"
            layers = config.start.freeze_discriminator_layers
            body["freeze_discriminator_layers"] = layers
    return body


def command(body: Mapping[str, Any]) -> str:
    """A shell command that sends a body to ``POST /train``; one line for each of its fields."""
    fields = ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in body.items())
    text = f"{{\n{fields}\n}}"
    lines = (
        'curl -s "$RINGSIDE_URL/train"',
        '-H "Authorization: Bearer $RINGSIDE_API_KEY"',
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(text)}",
    )
    return " \\\n  ".join(lines)


def _times(record: JobRecord) -> list[Fact]:
    times = {
        "asked for": record.created_at,
        "begun": record.started_at,
        "ended": record.finished_at,
    }
    return [Fact(name, at) for name, at in times.items() if at]


def _manifest(store: Store, dataset: str) -> Manifest | None:
    try:
        return store.datasets.get(dataset).manifest
    except (NotFound, DataError):
        return None


def _describe_space(space: Space) -> str:
    if isinstance(space, ImageSpace):
        return f"images, {space.height} x {space.width} pixels, {_CHANNELS[space.channels]}"
    return f"points in {space.dimensions} dimensions, scale {space.scale:g}"


def _told(value: object) -> str:
    """One setting of a game, whatever it is."""
    if isinstance(value, tuple):
        return "; ".join(map(_told, value)) or "none"
    if isinstance(value, BaseModel):
        return _words(value)
    return "none" if value is None else _short(value)


def _words(spec: BaseModel) -> str:
    """A specification as ``kind (name value, ...)``."""
    fields = spec.model_dump(mode="json")
    kind = fields.pop("kind", None)
    listed = ", ".join(
        f"{name.replace('_', ' ')} {_short(value)}" for name, value in fields.items()
    )
    if kind is None:
        return listed
    return f"{kind} ({listed})" if listed else str(kind)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
