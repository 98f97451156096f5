"""What HTTP adds to the domain: request bodies and views with links."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ganmodels.config import Seed, TrainConfig
from ganmodels.preparation import Preparation
from ganmodels.referee.findings import Figure
from ganmodels.referee.health import Health
from ganmodels.spaces import Space
from worker.names import NAME_PATTERN, RESERVED_PREFIXES
from worker.store.checkpoints import Checkpoint, Environment
from worker.store.epochs import EngineInUse
from worker.store.evaluations import EvaluationRecord
from worker.store.job import Job
from worker.store.models import Model, Version
from worker.store.records import JobError, Status, StoppedBy
from worker.store.references import Resolved


def _no_id(name: str) -> str:
    if name.startswith(RESERVED_PREFIXES):
        raise ValueError(f"a name may not begin with {' or '.join(RESERVED_PREFIXES)}")
    return name


Name = Annotated[str, Field(pattern=NAME_PATTERN), AfterValidator(_no_id)]
Patch = dict[str, JsonValue]


class Body(BaseModel):
    """A request body: unknown fields are refused, so no typing error trains for hours."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class TrainRequest(Body):
    """A dataset and what to change in a recipe; ``GET /recipes`` has all fields.

    ``game``, ``optimisation``, ``schedule``, ``referee`` and ``stop`` are JSON merge patches on
    the recipe's.
    """

    dataset: str = Field(max_length=200, description="name or id of a dataset", examples=["digits"])
    source: str | None = Field(
        default=None,
        max_length=200,
        description="name or id of the dataset whose items are translated into the dataset's",
    )
    start_from: str | None = Field(
        default=None,
        max_length=200,
        description="a model or a job, as in GET /sample, whose averaged weights to start from",
    )
    freeze_discriminator_layers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="first layers of it that keep the weights it starts with",
    )
    recipe: str | None = Field(
        default=None, max_length=64, description="one suited to the dataset if left out"
    )
    model: Name | None = Field(default=None, description="name under which to serve the result")
    steps: int | None = Field(default=None, ge=1, le=10**8)
    batch_size: int | None = Field(default=None, ge=2, le=4096)
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    gpus: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="processes that play each batch together, with a GPU each where there are any",
    )
    seed: Seed | None = None
    game: Patch | None = None
    optimisation: Patch | None = None
    schedule: Patch | None = None
    referee: Patch | None = None
    stop: Patch | None = None
    engine: Patch | None = None

    def changes(self) -> dict[str, Any]:
        """What is to be changed in the recipe."""
        given = self.model_dump(
            exclude_unset=True,
            exclude={
                "dataset",
                "source",
                "start_from",
                "freeze_discriminator_layers",
                "recipe",
                "model",
            },
        )
        shortcuts = ("steps", "batch_size", "learning_rate", "gpus", "seed")
        return {k: v for k, v in given.items() if not (k in shortcuts and v is None)}


class ResumeRequest(Body):
    """How far to train; without ``steps`` as far as planned."""

    steps: int | None = Field(default=None, ge=1, le=10**8)


class ModelEvaluateRequest(Body):
    """What to change in the protocol that the job names: a JSON merge patch."""

    protocol: Patch | None = None


class EvaluateRequest(ModelEvaluateRequest):
    """Which checkpoint of a job to evaluate; the newest without ``step``."""

    step: int | None = Field(default=None, ge=1, le=10**8)


class AliasRequest(Body):
    """Which version an alias points at."""

    version: int = Field(ge=1, le=10**9)


class Plan(BaseModel):
    """The answer of a dry run: what would be trained and what it costs."""

    object: Literal["plan"] = "plan"
    recipe: str
    recipe_chosen: bool
    config: TrainConfig
    warnings: tuple[dict[str, str], ...]
    estimate: dict[str, int]


class Progress(BaseModel):
    """How far a job is."""

    step: int
    total_steps: int
    fraction: float
    images_seen: int
    images_per_second: float | None
    eta_seconds: float | None


class CheckpointContext(NamedTuple):
    """What a job knows about its checkpoints: evaluations by step, the best, steps of previews."""

    job: str
    evaluations: Mapping[int, EvaluationRecord]
    best: str | None
    previews: Collection[int]

    def measures(self, checkpoint: Checkpoint) -> dict[str, Figure]:
        """Figures by the job's own protocol; none before they are known."""
        record = self.evaluations.get(checkpoint.step)
        if record is None or record.findings is None or record.checkpoint != checkpoint.digest:
            return {}
        return record.findings.figures

    def preview(self, step: int) -> str | None:
        """The newest preview up to a step."""
        newest = max((one for one in self.previews if one <= step), default=None)
        return None if newest is None else f"/jobs/{self.job}/previews/{newest}"


class CheckpointView(BaseModel):
    """A checkpoint of a job; ``reference`` names it wherever a model is asked for.

    ``measures`` are figures by the job's own protocol; ``preview`` is the newest up to its step.
    """

    object: Literal["checkpoint"] = "checkpoint"
    reference: str
    step: int
    images_seen: int
    created_at: str
    digest: str
    size_bytes: int
    environment: Environment
    measures: dict[str, Figure]
    best: bool
    preview: str | None

    @classmethod
    def of(cls, checkpoint: Checkpoint, context: CheckpointContext) -> "CheckpointView":
        """The view of a checkpoint."""
        manifest = checkpoint.manifest
        return cls(
            reference=f"{manifest.job}:{manifest.step}",
            step=manifest.step,
            images_seen=manifest.images_seen,
            created_at=manifest.created_at,
            digest=checkpoint.digest,
            size_bytes=checkpoint.size_bytes,
            environment=manifest.environment,
            measures=context.measures(checkpoint),
            best=context.best == checkpoint.digest,
            preview=context.preview(manifest.step),
        )


class EvaluationView(EvaluationRecord):
    """An evaluation as clients see it."""

    object: Literal["evaluation"] = "evaluation"
    model: str
    links: dict[str, str]

    @classmethod
    def of(cls, record: EvaluationRecord, has_neighbours: bool) -> "EvaluationView":
        """The view of a record."""
        here = f"/jobs/{record.job}/evaluations/{record.id}"
        links = {"self": here, "job": f"/jobs/{record.job}"}
        if has_neighbours:
            links["neighbours"] = f"{here}/neighbours.png"
        return cls(**dict(record), model=f"{record.job}:{record.step}", links=links)


class JobView(BaseModel):
    """A job as clients see it."""

    object: Literal["job"] = "job"
    id: str
    status: Status
    stopping: Literal["pause", "cancel"] | None
    dataset: str
    source: str | None
    recipe: str
    recipe_chosen: bool
    model: str | None
    seed: int
    attempt: int
    exact: bool
    engine: EngineInUse | None
    rollbacks: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    progress: Progress
    metrics: dict[str, float]
    health: Health | None
    stopped_by: StoppedBy | None
    checkpoints: int
    warnings: tuple[dict[str, str], ...]
    error: JobError | None
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """The view of a job, read from its directory now."""
        record, config, progress = job.record(), job.config(), job.progress()
        total, step = config.schedule.steps, int(progress.get("step", 0))
        running = record.status == "running"
        here = f"/jobs/{job.id}"
        return cls(
            **record.model_dump(
                exclude={"error", "stopped_by", "resumed_after_attempt", "return_to"}
            ),
            error=record.error,
            stopped_by=record.stopped_by,
            health=_health(progress),
            engine=job.engine(),
            stopping=job.stop_wanted() if running else None,
            dataset=config.dataset,
            source=config.source and config.source.dataset,
            seed=config.seed,
            progress=Progress(
                step=step,
                total_steps=total,
                fraction=round(step / total, 4),
                images_seen=progress.get("images_seen", 0),
                images_per_second=progress.get("images_per_second") if running else None,
                eta_seconds=progress.get("eta_seconds") if running else None,
            ),
            metrics=progress.get("metrics", {}),
            checkpoints=len(job.checkpoints()),
            links={
                "self": here,
                **{
                    part: f"{here}/{part}"
                    for part in (
                        *("events", "metrics", "checkpoints", "previews", "config"),
                        *("evaluations", "plots", "report"),
                    )
                },
                **_use(config, job.id),
            },
        )


def _use(config: TrainConfig | None, reference: str) -> dict[str, str]:
    """Where a model is used: items are drawn from it, or sent to it."""
    use = "translate" if config and config.game.directions else "sample"
    return {use: f"/{use}?model={reference}"}


def _health(progress: dict[str, Any]) -> Health | None:
    # The file is not synced: a power cut may leave anything there.
    with suppress(ValidationError):
        return Health.model_validate(progress.get("health"), strict=False)
    return None


class VersionView(Version):
    """A version, the names that point at it, and how this process of the server made it ready to
    serve, once it did."""

    object: Literal["version"] = "version"
    reference: str
    aliases: tuple[str, ...]
    preparation: Preparation | None

    @classmethod
    def of(
        cls, version: Version, model: Model, prepared: Callable[[str], Preparation | None]
    ) -> "VersionView":
        """The view of a version; ``prepared`` tells how a checkpoint was made ready, by digest."""
        return cls(
            **version.model_dump(),
            reference=f"{model.name}:{version.version}",
            aliases=tuple(name for name, to in model.aliases.items() if to == version.version),
            preparation=prepared(version.checkpoint),
        )


class ReferenceView(BaseModel):
    """The checkpoint that a reference to a job means now; no model needs to know it."""

    object: Literal["reference"] = "reference"
    reference: str
    job: str
    step: int
    checkpoint: str
    created_at: str
    preparation: Preparation | None

    @classmethod
    def of(
        cls, resolved: Resolved, prepared: Callable[[str], Preparation | None]
    ) -> "ReferenceView":
        """The view of what was found; ``prepared`` as in ``VersionView.of``."""
        checkpoint, manifest = resolved.checkpoint, resolved.checkpoint.manifest
        return cls(
            reference=resolved.reference,
            job=manifest.job,
            step=manifest.step,
            checkpoint=checkpoint.digest,
            created_at=manifest.created_at,
            preparation=prepared(checkpoint.digest),
        )


class ModelView(BaseModel):
    """A model as clients see it."""

    object: Literal["model"] = "model"
    name: str
    created_at: str
    space: Space | None
    versions: tuple[VersionView, ...]
    aliases: dict[str, int]
    jobs: tuple[str, ...]
    links: dict[str, str]

    @classmethod
    def of(
        cls,
        model: Model,
        config: TrainConfig | None,
        prepared: Callable[[str], Preparation | None],
    ) -> "ModelView":
        """The view of a model; ``config`` of its latest version, once there is one.

        ``prepared`` as in ``VersionView.of``.
        """
        return cls(
            name=model.name,
            created_at=model.created_at,
            space=config and config.space,
            versions=tuple(VersionView.of(version, model, prepared) for version in model.versions),
            aliases=model.aliases,
            jobs=model.jobs,
            links={"self": f"/models/{model.name}", **_use(config, model.name)},
        )


class Listing(BaseModel):
    """A page of a list. ``next_cursor`` goes on where it ends; None at the end."""

    object: Literal["list"] = "list"
    data: list[Any]
    has_more: bool = False
    next_cursor: str | None = None
