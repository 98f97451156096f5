"""What each process of a job sets up alike: the match, the labels and the batches."""

import torch

from ganmodels.config import TrainConfig
from ganmodels.data.batches import Deck
from ganmodels.data.packed import PackedDataset
from ganmodels.dealing import deal
from ganmodels.games.match import Match
from ganmodels.games.recorded import record
from ganmodels.labels import Clusters
from ganmodels.referee.remedies import with_rates
from ganmodels.several import Group
from worker.checkpointing import join_state
from worker.engine import autocast_dtype
from worker.material import Material
from worker.store.checkpoints import Checkpoint, Environment

# A match that is rolled back as it was would fail again in the same way, step by step.
_ROLLBACK_FACTOR = 0.5


def after_rollbacks(config: TrainConfig, rollbacks: int) -> TrainConfig:
    """The configuration of a job that was rolled back so many times."""
    return with_rates(config, _ROLLBACK_FACTOR**rollbacks)


def make_match(
    config: TrainConfig,
    device: torch.device,
    environment: Environment,
    checkpoint: Checkpoint | None,
    start: Checkpoint | None,
    group: Group,
) -> Match:
    """The match as the checkpoint has it, or a new one, from the weights of a start if any."""
    match = Match(config, device, autocast_dtype(environment), group)
    if checkpoint:
        match.load(join_state(checkpoint))
    elif start:
        match.adopt({name: start.tensors(name) for name in config.game.players})
    if config.engine.graphs == "automatic":
        record(match)
    return match


def find_clusters(
    config: TrainConfig, dataset: PackedDataset, checkpoint: Checkpoint | None, group: Group
) -> Clusters | None:
    """The clusters of a checkpoint, so that a resumed training keeps its labels, or new ones."""
    labels = config.game.labels
    if checkpoint and not labels.given:
        return Clusters(**checkpoint.tensors("clusters"))
    found = labels.fit(dataset.items[dataset.training_indices], config.seed)
    return found and Clusters(*map(group.match_leader, found))


def make_deck(
    config: TrainConfig,
    material: Material,
    clusters: Clusters | None,
    device: torch.device,
    group: Group,
) -> Deck:
    """The batches, or this process's share of each."""
    share = group.share(config.optimisation.accumulate)
    return deal(config, *material, clusters, device, share)
