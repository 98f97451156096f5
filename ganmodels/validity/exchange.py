"""What turns that share their passes cannot be had with."""

from collections.abc import Iterator

from ganmodels.config import TrainConfig
from ganmodels.games import Gan
from ganmodels.penalties import R2
from ganmodels.validity.finding import Finding, error

_ALTERNATE = 'set exchange to {"kind": "alternating"}'


def turns_can_be_joined(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """One turn of the generator, on the whole batch, of fakes that are new."""
    reasons = ["several turns of the generator"] if game.generator_steps > 1 else []
    reasons += ["a batch in parts"] if config.optimisation.accumulate > 1 else []
    reasons += ["a pool of old fakes"] if game.replay else []
    reasons += ["unrolling"] if game.unrolling else []
    if game.exchange.joint and reasons:
        yield error(
            "exchange-needs-one-turn",
            "/game/exchange",
            f"{game.exchange.kind} joins the turns of both players, which {' and '.join(reasons)} "
            f"take apart; do without, or {_ALTERNATE}",
        )


def slopes_can_be_rescaled(config: TrainConfig, game: Gan) -> Iterator[Finding]:
    """The slopes of both losses at an item differ by a factor only if nothing else is in them."""
    if not game.exchange.separate_items:
        return
    reasons = [] if game.objective.slope_never_ends else [f"{game.objective.kind}, whose D rests"]
    if game.network.discriminator_has_batch_norm:
        reasons.append("batch normalisation in the discriminator")
    reasons += ["minibatch features"] if game.minibatch_features.compares_items else []
    reasons += ["packs"] if game.pack > 1 else []
    reasons += ["the r2 penalty"] if any(isinstance(p, R2) for p in game.penalties) else []
    reasons += ["classes"] if game.conditioning.classifies else []
    reasons += ["codes"] if game.information else []
    reasons += ["feature matching"] if game.feature_matching else []
    reasons += ["historical averaging"] if game.historical_averaging else []
    if reasons:
        yield error(
            "exchange-cannot-rescale",
            "/game/exchange",
            "rescaled turns one gradient into the other by a factor for each item, which does not "
            f"hold with {' and '.join(reasons)}; do without, or set exchange to "
            '{"kind": "simultaneous"}',
        )
