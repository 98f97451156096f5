"""Diagnoses: what goes wrong in a match, from its readings alone.

Each rule says at which readings a failure shows; it is named once it shows at several in a row,
since one reading is noise. The thresholds were set on planted matches (``benchmarks/referee.py``
prints what they name and miss). What misleads is left out: a discriminator that is right all the
time, or half of the time, and a classifier that is sure of its class, go with good and bad matches.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from ganmodels.config import TrainConfig
from ganmodels.referee.config import Failure
from ganmodels.referee.health import Diagnosis, Health, Remedy
from ganmodels.referee.history import History, Row
from ganmodels.referee.remedies import remedy

# Readings before which nothing is called healthy.
_EARLY = 4
_POOR, _BAD = 0.15, 0.3
_COMPLETE = 0.2


class Before(NamedTuple):
    """What a reading is compared with: the least energy distance so far, as it was known ``of``
    readings ago, the first reading, and the size beyond which losses and logits are not sound.
    """

    best: float | None
    first: Row
    limit: float


Shows = Callable[[Row, Before], bool]


class Rule(NamedTuple):
    """``shows`` says whether a failure shows at a reading, beside what was before.

    It is named when it shows at the last reading and at ``needed`` of the last ``of``.
    ``evidence`` names the signals it rests on.
    """

    failure: Failure
    shows: Shows
    needed: int
    of: int
    evidence: tuple[str, ...]
    detail: str


def diverges(row: Row, before: Before) -> bool:
    """Numbers without bounds: losses, logits, or fakes far outside of the data."""
    sizes = (row["discriminator_loss"], row["generator_loss"], row["largest_logit"])
    return max(map(abs, sizes)) > before.limit or _at_least(row["energy_distance"], 20)


def overpowers(row: Row, before: Before) -> bool:
    """The discriminator ranks every pair rightly, and the fakes are bad and get no better."""
    surest = min(row["pair_accuracy"], _or(row["held_out_pair_accuracy"], 1.0))
    return surest >= 0.99 and _is_stuck(row, before, _BAD, 0.8)


def collapses(row: Row, before: Before) -> bool:
    """The fakes lie close together, or reach few groups, though nothing holds the generator."""
    if _at_most(row["diversity"], 0.05):
        return True
    if overpowers(row, before) or _has_not_moved(row, before.first):
        return False
    if _at_most(row["diversity"], 0.2):
        return _is_stuck(row, before, _BAD, 0.3)
    # The whole may look varied while each label has become one picture.
    if _at_most(row["diversity_within_labels"], 0.25) and _at_least(row["diversity"], 0.5):
        return True
    narrow = _at_most(row["diversity"], 0.5) or row["groups_covered"] < 0.35
    return narrow and _is_stuck(row, before, _POOR, 0.7)


def oscillates(row: Row, before: Before) -> bool:
    """The fakes move from group to group, and get no better."""
    return _at_least(row["histogram_drift"], 0.35) and _is_stuck(row, before, 0.08, 0.7)


def exploits(row: Row, before: Before) -> bool:
    """The discriminator is fooled by fakes that the nearest neighbour knows at once."""
    fooled = row["pair_accuracy"] < 0.6
    known = _at_least(row["neighbour_accuracy"], 0.95)
    narrow = _at_most(row["diversity"], 0.5)
    return fooled and known and not narrow and _is_stuck(row, before, _POOR, 0.7)


def overfits(row: Row, before: Before) -> bool:
    """The discriminator knows its training items from others of the same kind."""
    by_heart = _at_least(row["overfitting_rv"], 0.5) and _at_least(row["recognition"], 0.7)
    return by_heart and row["pair_accuracy"] > 0.7


def memorises(row: Row, before: Before) -> bool:
    """Fakes lie much nearer to training items than held-out items do, and are as varied."""
    return _at_most(row["neighbour_ratio"], 0.7) and _at_least(row["diversity"], 0.7)


def learns_nothing(row: Row, before: Before) -> bool:
    """The fakes are bad and get no better, whatever the reason."""
    known = _at_least(row["neighbour_accuracy"], 0.97)
    return _is_stuck(row, before, _BAD, 0.9) or (known and _is_stuck(row, before, 0.06, 0.9))


# Gravest first: the first that is named is the verdict.
RULES = (
    Rule(
        "divergence",
        diverges,
        2,
        2,
        ("discriminator_loss", "generator_loss", "largest_logit", "energy_distance"),
        "losses, logits or fakes grow without bounds",
    ),
    Rule(
        "mode_collapse",
        collapses,
        4,
        4,
        ("diversity", "diversity_within_labels", "groups_covered", "energy_distance"),
        "the generator makes few kinds of items",
    ),
    Rule(
        "discriminator_overpowering",
        overpowers,
        4,
        4,
        ("pair_accuracy", "discriminator_loss", "generator_gradient_norm", "energy_distance"),
        "the discriminator is always right, and the generator learns nothing from it",
    ),
    Rule(
        "oscillation",
        oscillates,
        4,
        5,
        ("histogram_drift", "energy_distance"),
        "the generator moves from one kind of items to another instead of settling on all",
    ),
    Rule(
        "generator_exploiting",
        exploits,
        4,
        5,
        ("pair_accuracy", "neighbour_accuracy", "energy_distance"),
        "the generator fools this discriminator with items that any other judge would refuse",
    ),
    Rule(
        "memorisation",
        memorises,
        5,
        6,
        ("neighbour_ratio", "diversity"),
        "the generator repeats training items",
    ),
    Rule(
        "discriminator_overfitting",
        overfits,
        5,
        6,
        ("overfitting_rv", "recognition", "real_accuracy", "held_out_accuracy"),
        "the discriminator knows its training items by heart",
    ),
    Rule(
        "not_learning",
        learns_nothing,
        4,
        4,
        ("energy_distance", "neighbour_accuracy", "generator_gradient_norm"),
        "the generator's items are far from the data and get no nearer",
    ),
)


def diagnose(config: TrainConfig, history: History, has_variety: bool) -> Health | None:
    """The health of a match at its last reading; None while it is too early to tell."""
    rows, first = history.latest, history.first
    if not rows or first is None:
        return None
    if not has_variety:
        return _nothing_to_learn(rows[-1])
    named = [found for rule in RULES if (found := _apply(rule, rows, first, config))]
    # What learns nothing is best told by why it does not.
    diagnoses = [d for d in named if d.code != "not_learning" or len(named) == 1]
    if not diagnoses and len(rows) < _EARLY:
        return None
    verdict = diagnoses[0].code if diagnoses else "healthy"
    return Health(verdict=verdict, step=rows[-1]["step"], diagnoses=tuple(diagnoses))


def broken_down(config: TrainConfig, step: int, detail: str) -> Health:
    """The health of a match in which a value was not finite."""
    diagnosis = Diagnosis(
        code="divergence",
        step=step,
        since_step=step,
        confidence=1.0,
        detail=detail,
        evidence={},
        remedy=remedy("divergence", config, step),
    )
    return Health(verdict="divergence", step=step, diagnoses=(diagnosis,))


def _apply(rule: Rule, rows: Sequence[Row], first: Row, config: TrainConfig) -> Diagnosis | None:
    limit = _largest_sound_size(config)

    def shows(index: int) -> bool:
        best = _best(rows[: max(1, index - rule.of + 1)])
        return rule.shows(rows[index], Before(best, first, limit))

    last = len(rows) - 1
    if not shows(last):
        return None
    shown = [index for index in range(max(0, last - rule.of + 1), last + 1) if shows(index)]
    if len(shown) < rule.needed:
        return None
    # Named already, it keeps the step since when: the rows that showed it may be forgotten.
    known: dict[str, int] = (rows[last - 1].get("diagnoses") if last else None) or {}
    since = int(known[rule.failure] if rule.failure in known else rows[shown[0]]["step"])
    recent = range(max(0, last - 2 * rule.of + 1), last + 1)
    return Diagnosis(
        code=rule.failure,
        extent=_extent(rows[last]) if rule.failure == "mode_collapse" else None,
        step=rows[last]["step"],
        since_step=since,
        confidence=round(sum(map(shows, recent)) / len(recent), 2),
        detail=rule.detail,
        evidence={name: rows[last][name] for name in rule.evidence},
        remedy=remedy(rule.failure, config, since),
    )


def _extent(row: Row) -> Literal["partial", "complete"]:
    least = min(_or(row["diversity"], 1.0), _or(row["diversity_within_labels"], 1.0))
    return "complete" if least <= _COMPLETE else "partial"


def _largest_sound_size(config: TrainConfig) -> float:
    """A critic with bounded slope tells items apart by their distance, which grows with their
    size; any other objective has no use for logits beyond 100.
    """
    if not config.game.needs_lipschitz:
        return 100.0
    return max(100.0, 10 * math.sqrt(math.prod(config.space.shape)))


def _best(rows: Sequence[Row]) -> float | None:
    """The least energy distance of readings after the first, which has nothing before it."""
    known = [row["energy_distance"] for row in rows if row["energy_distance"] is not None]
    return min(known, default=None)


def _nothing_to_learn(row: Row) -> Health:
    diagnosis = Diagnosis(
        code="not_learning",
        step=row["step"],
        since_step=0,
        confidence=1.0,
        detail="all items of the dataset are equal: there is nothing to learn",
        evidence={"discriminator_loss": row["discriminator_loss"]},
        remedy=Remedy(detail="look at the dataset's preview; import data that varies", patch={}),
    )
    return Health(verdict="not_learning", step=row["step"], diagnoses=(diagnosis,))


def _is_stuck(row: Row, before: Before, poor: float, factor: float) -> bool:
    """The fakes are further from the data than ``poor``, and hardly nearer than ever before."""
    now, best = row["energy_distance"], before.best
    return now is not None and now > poor and (best is None or now > factor * best)


def _has_not_moved(row: Row, first: Row) -> bool:
    """The fakes are as they were at the first reading, when hardly anything was learned."""
    names = ("energy_distance", "diversity")
    pairs = [(row[name], first[name]) for name in names]
    return row is not first and all(abs(now - old) <= 0.05 * abs(old) for now, old in pairs)


def _at_least(value: float | None, limit: float) -> bool:
    return value is not None and value >= limit


def _at_most(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
