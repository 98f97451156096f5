"""What the referee and the stop rules are asked for can be had."""

from collections.abc import Iterator

from ganmodels.config import TrainConfig
from ganmodels.referee.stopping import FEWEST_JUDGED
from ganmodels.validity.finding import Finding


def referee_can_measure(config: TrainConfig) -> Iterator[Finding]:
    """What the referee is asked to measure on the way can be measured, and says what is best."""
    referee, stop = config.referee, config.stop
    measures = referee.protocol.measures
    if not referee.evaluate_every:
        return
    if detail := referee.protocol.impossible_on(config.space):
        yield Finding("error", "evaluation-impossible", "/referee/protocol/features", detail)
    if referee.best_by not in measures:
        yield Finding(
            "warning",
            "best-not-measured",
            "/referee/best_by",
            f"no checkpoint is chosen as the best: {referee.best_by} is not among the measures of "
            "the protocol",
        )
    if stop.plateau and stop.plateau.measure not in measures:
        yield _not_measured("plateau/measure", stop.plateau.measure)
    if stop.equilibrium and "critic" not in measures:
        yield _not_measured("equilibrium", "critic")
    if stop.equilibrium and referee.protocol.samples < FEWEST_JUDGED:
        yield Finding(
            "warning",
            "stop-never-reached",
            "/referee/protocol/samples",
            f"equilibrium needs critics that judge {FEWEST_JUDGED} items; ask for as many samples",
        )


def stop_rules_have_evaluations(config: TrainConfig) -> Iterator[Finding]:
    """Plateau and equilibrium look at evaluations, so there must be enough of them."""
    stop, every = config.stop, config.referee.evaluate_every
    rules = [rule for rule in (stop.plateau, stop.equilibrium) if rule]
    if rules and not every:
        yield Finding(
            "error",
            "stop-without-evaluations",
            "/referee/evaluate_every",
            "plateau and equilibrium look at evaluations, and none are made; set evaluate_every",
        )
    elif rules and config.schedule.steps <= every * min(rule.patience for rule in rules):
        yield Finding(
            "warning",
            "stop-never-reached",
            "/referee/evaluate_every",
            f"with an evaluation every {every} steps the stop rules cannot be met before step "
            f"{config.schedule.steps}; lower evaluate_every or patience",
        )


def _not_measured(pointer: str, measure: str) -> Finding:
    return Finding(
        "error",
        "stop-not-measured",
        f"/stop/{pointer}",
        f"{measure} is not among the measures of referee.protocol; add it there",
    )


RULES = (referee_can_measure, stop_rules_have_evaluations)
