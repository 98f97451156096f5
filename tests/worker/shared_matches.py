"""Matches that are played alone and by two processes."""

import torch

from ganmodels.data.batches import Batches, Deck
from ganmodels.games.match import Match
from ganmodels.several import Group
from tests.ganmodels.builders import CPU, clusters_for, config_for, items_for, labels_for

ADA = {"kind": "ada", "adaptive": True, "adjust_images": 64, "start": 0.4}
CASES = {
    "dcgan in parts": {"recipe": "dcgan", "optimisation": {"accumulate": 2}},
    "cgan": {"recipe": "cgan"},
    "wgan-gp": {"recipe": "wgan-gp"},
    "points": {"recipe": "points"},
}
# Those whose like is above: they take half a minute.
MORE_CASES = {
    "dcgan": {"recipe": "dcgan"},
    "class norm": {"recipe": "cgan", "game": {"conditioning": {"kind": "projection"}}},
    "r3gan-small": {"recipe": "r3gan-small"},
    "sngan": {"recipe": "sngan"},
    "ada": {"recipe": "ada", "game": {"augmentation": ADA}},
    "pacgan": {"recipe": "pacgan"},
    "infogan": {"recipe": "infogan"},
    "simultaneous": {"recipe": "dcgan", "game": {"exchange": {"kind": "simultaneous"}}},
    "rescaled": {"recipe": "sngan", "game": {"exchange": {"kind": "rescaled"}}},
    "virtual norm": {"recipe": "dcgan", "game": {"network": {"generator_norm": "virtual"}}},
}


def match_of(group: Group, changes: dict) -> Match:
    named = dict(changes)
    config = config_for(named.pop("recipe"), **{"batch_size": 8, **named})
    return Match(config, CPU, None, group)


def deck_of(match: Match) -> Deck:
    config = match.config
    items, clusters = items_for(config.space), clusters_for(config)
    labels = clusters.nearest(items) if clusters else labels_for(config.space)
    optimisation = config.optimisation
    share = match.group.share(optimisation.accumulate)
    real = Batches(
        items, labels, config.space, optimisation.batch_size, config.seed, CPU, share=share
    )
    return Deck(real.at)


def states_are_equal(match: Match) -> bool:
    """Whether all processes of the match have the same bits; each of them must ask."""
    tensors = [tensor.float() for tensor in match.state().tensors.values()]
    rows = match.group.rows(torch.cat([tensor.detach().reshape(-1) for tensor in tensors]))
    return bool((rows == rows[0]).all())
