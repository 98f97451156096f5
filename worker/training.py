"""One attempt at a training: everything is set up from the job's directory, then played."""

import threading

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Deck
from ganmodels.data.packed import PackedDataset
from ganmodels.dealing import deal
from ganmodels.games.match import Match
from ganmodels.labels import Clusters
from ganmodels.referee.diagnoses import broken_down
from ganmodels.referee.remedies import with_rates
from worker.attempt import Attempt
from worker.checkpointing import CheckpointWriter, join_state
from worker.endings import Ending, Outcome, TrainingDiverged
from worker.engine import autocast_dtype, changes, choose_device, describe
from worker.loop import run
from worker.material import Material, MaterialGuard
from worker.refereeing import JobReferee
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import Checkpoint, Environment
from worker.store.claims import Claim
from worker.store.job import Job
from worker.tensorboard import Board

# A match that is rolled back as it was would fail again in the same way, step by step.
ROLLBACK_FACTOR = 0.5


def play(
    settings: Settings, store: Store, job: Job, claim: Claim, interrupted: threading.Event
) -> Ending:
    """Train from the newest checkpoint that counts to an end.

    Raises:
        TrainingDiverged: when a value is not finite.
        Fenced: when another attempt has taken over.
    """
    torch.set_num_threads(settings.train_threads)
    record = job.record()
    config = with_rates(job.config(), ROLLBACK_FACTOR**record.rollbacks)
    if record.model:
        # Whoever accepted the job may have died before this.
        store.models.add_job(record.model, job.id)
    material = Material.of(store, config)
    guard = MaterialGuard(material)
    device = choose_device(settings.device)
    checkpoint = job.newest_sound_checkpoint(record.return_to)
    environment = describe(config, device, checkpoint.manifest.environment if checkpoint else None)
    match = _match(config, device, environment, checkpoint, job.start())
    clusters = _clusters(config, material.dataset, checkpoint)
    claim.begin(match.step)
    job.note_return()
    if checkpoint:
        _note_environment(job, environment, checkpoint.manifest.environment)
    writer = CheckpointWriter(store, job, claim, guard, environment, clusters, device)
    referee = JobReferee.open(store, job, config, material, clusters, device)
    board = Board.open(settings, job)
    attempt = Attempt(job, claim, writer, referee, material, clusters, board)
    deck = deal(config, *material, clusters, device)
    try:
        return _run(match, deck, attempt, interrupted)
    finally:
        attempt.close()


def _run(match: Match, deck: Deck, attempt: Attempt, interrupted: threading.Event) -> Ending:
    def stop_wanted() -> Outcome | None:
        attempt.check()
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


def _match(
    config: TrainConfig,
    device: torch.device,
    environment: Environment,
    checkpoint: Checkpoint | None,
    start: Checkpoint | None,
) -> Match:
    match = Match(config, device, autocast_dtype(environment))
    if checkpoint:
        match.load(join_state(checkpoint))
    elif start:
        match.adopt({name: start.tensors(name) for name in config.game.players})
    return match


def _note_environment(job: Job, now: Environment, before: Environment) -> None:
    """The bits depend on these things, so where one has changed the job is not exact any more."""
    found = changes(now, before)
    if not found:
        return
    with job.locked() as record:
        job.change(record, exact=False)
    job.events.append("job.inexact", {"changes": found})


def _clusters(
    config: TrainConfig, dataset: PackedDataset, checkpoint: Checkpoint | None
) -> Clusters | None:
    """The clusters of a checkpoint, so that a resumed training keeps its labels, or new ones."""
    labels = config.game.labels
    if checkpoint and not labels.given:
        return Clusters(**checkpoint.tensors("clusters"))
    return labels.fit(dataset.items[dataset.training_indices], config.seed)
