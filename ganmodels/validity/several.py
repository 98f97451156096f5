"""What several processes can play together, each with a share of the batch."""

from collections.abc import Iterator

from ganmodels.config import TrainConfig
from ganmodels.games import Game, Gan
from ganmodels.penalties import Dragan
from ganmodels.validity.finding import Finding, error


def shares_are_whole(config: TrainConfig) -> Iterator[Finding]:
    """Each process plays as many packs of each part of a batch."""
    count, optimisation = config.engine.gpus, config.optimisation
    whole = optimisation.accumulate * (config.game.pack if isinstance(config.game, Gan) else 1)
    if count > 1 and optimisation.batch_size % (count * whole):
        yield error(
            "batch-not-divisible",
            "/optimisation/batch_size",
            f"a batch of {optimisation.batch_size} cannot be shared by {count} processes; "
            f"batch_size is that of all of them: make it a multiple of {count * whole}, or gpus "
            "smaller",
        )


def losses_are_means(config: TrainConfig) -> Iterator[Finding]:
    """The loss of a batch must be the mean of those of its shares."""
    if config.engine.gpus == 1:
        return
    for pointer, axis in _not_shared(config.game):
        yield error(
            "several-processes-unsupported",
            pointer,
            f"{axis}, and each of several processes has a share of it only; leave it out or set "
            "gpus to 1",
        )


def _not_shared(game: Game) -> Iterator[tuple[str, str]]:
    """Where something is asked for that looks at a whole batch, and what it does."""
    if not isinstance(game, Gan):
        yield "/game/kind", f"the game {game.kind} remembers or joins items of a whole batch"
        return
    yield from losses_of_batches(game)
    if game.replay and game.replay.share:
        yield "/game/replay", "replay keeps and mixes the fakes of a whole batch"


def losses_of_batches(game: Gan) -> Iterator[tuple[str, str]]:
    """Losses that are no means over items: where they are asked for, and what they do."""
    if game.minibatch_features.compares_items:
        yield "/game/minibatch_features", "these features compare the items of a whole batch"
    if game.feature_matching:
        yield "/game/feature_matching", "feature matching takes mean features of a whole batch"
    if game.unrolling:
        yield "/game/unrolling", "unrolling looks ahead by the gradient of a whole batch"
    for place, penalty in enumerate(game.penalties):
        if isinstance(penalty, Dragan):
            yield f"/game/penalties/{place}", "dragan measures the spread of a whole batch"


RULES = (shares_are_whole, losses_are_means)
