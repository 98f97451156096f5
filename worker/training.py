"""One attempt at a training: everything is set up from the job's directory, then played."""

import threading
from collections.abc import Callable

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Deck
from ganmodels.games.match import Match
from ganmodels.referee.diagnoses import broken_down
from worker.attempt import Attempt
from worker.checkpointing import CheckpointWriter
from worker.endings import Ending, Outcome, TrainingDiverged
from worker.engine import be_deterministic, changes, choose_device, describe, in_use
from worker.group import Crew, Task, count_processes
from worker.loop import run
from worker.material import Material, MaterialGuard
from worker.refereeing import JobReferee
from worker.settings import Settings
from worker.setup import after_rollbacks, find_clusters, make_deck, make_match
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment
from worker.store.claims import Claim
from worker.store.job import Job
from worker.store.records import JobRecord
from worker.tensorboard import Board


def play(
    settings: Settings,
    store: Store,
    job: Job,
    claim: Claim,
    interrupted: threading.Event,
    go_on: Callable[[], None],
) -> Ending:
    """Train from the newest checkpoint that counts to an end; ``go_on`` is called as it goes on.

    Raises:
        TrainingDiverged: when a value is not finite.
        Fenced: when another attempt has taken over.
        FollowerLost: when another process of the job has died.
    """
    record = job.record()
    config = _config_now(job.config(), record)
    if record.model:
        # Whoever accepted the job may have died before this.
        store.models.add_job(record.model, job.id)
    be_deterministic(config)
    device, size = _choose_devices(settings, config)
    material = Material.of(store, config)
    guard = MaterialGuard(material)
    go_on()
    checkpoint = job.newest_sound_checkpoint(record.return_to)
    environment = _environment(config, device, size, checkpoint)
    with Crew(job, size) as crew:
        crew.begin(_task(store, job, record, device, environment, checkpoint))
        group = crew.join(device)
        go_on()
        clusters = find_clusters(config, material.dataset, checkpoint, group)
        go_on()
        match = make_match(config, device, environment, checkpoint, job.start(), group)
        claim.begin(match.step, in_use(config, environment, match, material.training_bytes))
        job.note_return()
        _note_environment(job, config, environment, checkpoint)
        writer = CheckpointWriter(store, job, claim, guard, environment, clusters, device)
        referee = JobReferee.open(store, job, config, material, clusters, device)
        board = Board.open(settings, job)
        attempt = Attempt(job, claim, writer, referee, material, clusters, board)
        deck = make_deck(config, material, clusters, device, group)
        try:
            return _run(match, deck, attempt, crew, interrupted, settings.stall_seconds, go_on)
        finally:
            attempt.close()


def _config_now(config: TrainConfig, record: JobRecord) -> TrainConfig:
    """What is played after all that has happened to the job."""
    config = after_rollbacks(config, record.rollbacks)
    if not record.graphs_failed:
        return config
    without = config.engine.model_copy(update={"graphs": "never"})
    return config.model_copy(update={"engine": without})


def _run(
    match: Match,
    deck: Deck,
    attempt: Attempt,
    crew: Crew,
    interrupted: threading.Event,
    stall_seconds: float,
    go_on: Callable[[], None],
) -> Ending:
    def stop_wanted() -> Outcome | None:
        # A checkpoint that is never written is a hang too, though steps are played on.
        if attempt.saving_seconds < stall_seconds:
            go_on()
        attempt.check()
        crew.check()
        return "interrupt" if interrupted.is_set() else attempt.job.stop_wanted()

    attempt.write_progress(match)
    try:
        ending = run(match, deck, attempt, stop_wanted)
    except TrainingDiverged as error:
        attempt.write_health(match, broken_down(attempt.config, error.step, str(error)))
        raise
    if ending.outcome == "finished":
        attempt.finish(match)
    return ending


def _choose_devices(settings: Settings, config: TrainConfig) -> tuple[torch.device, int]:
    """The device of this process, and how many processes play; they share its threads."""
    device = choose_device(settings.device)
    size = count_processes(config, device, settings.slots)
    torch.set_num_threads(max(1, settings.train_threads // size))
    return device, size


def _environment(
    config: TrainConfig, device: torch.device, size: int, checkpoint: Checkpoint | None
) -> Environment:
    found = describe(config, device, checkpoint.manifest.environment if checkpoint else None)
    return found.model_copy(update={"processes": size})


def _task(
    store: Store,
    job: Job,
    record: JobRecord,
    device: torch.device,
    environment: Environment,
    checkpoint: Checkpoint | None,
) -> Task:
    return Task(
        home=store.home,
        job=job.id,
        checkpoint=checkpoint and checkpoint.path,
        rollbacks=record.rollbacks,
        cuda=device.type == "cuda",
        environment=environment,
    )


def _note_environment(
    job: Job, config: TrainConfig, now: Environment, checkpoint: Checkpoint | None
) -> None:
    """The bits depend on these things, so where one has changed the job is not exact any more.

    Nor is it where fewer devices play than were asked for.
    """
    found: dict[str, str] = {}
    if checkpoint:
        found = changes(now, checkpoint.manifest.environment, config.engine.deterministic)
    if now.processes < config.engine.gpus:
        found["gpus"] = f"{config.engine.gpus} -> {now.processes}"
    if not found:
        return
    with job.locked() as record:
        job.change(record, exact=False)
    job.events.append("job.inexact", {"changes": found})
