"""When there is nothing more to gain, by evaluations in the order of their steps."""

from collections.abc import Sequence
from math import sqrt

from ganmodels.referee.config import Equilibrium, Plateau
from ganmodels.referee.findings import Figure

# Half right among fewer proves little: a critic that is right 60 % of the time would pass.
FEWEST_JUDGED = 200


def plateau_reached(rule: Plateau, figures: Sequence[Figure]) -> str | None:
    """Why a plateau is reached, if it is: the figures are those of ``rule.measure``."""
    if not figures:
        return None
    best, since = figures[0].value, 0
    for figure in figures[1:]:
        needed = max(rule.min_improvement * abs(best), figure.standard_error or 0.0)
        if figure.value < best - needed:
            best, since = figure.value, 0
        else:
            since += 1
    if since < rule.patience:
        return None
    return f"{rule.measure} has not fallen below {best:.4g} in the last {since} evaluations"


def equilibrium_reached(rule: Equilibrium, accuracies: Sequence[Figure]) -> str | None:
    """Why an equilibrium is reached, if it is: the figures are accuracies of fresh critics.

    The error is that of a critic that cannot tell, 1 / (2 sqrt(n)); n is at least 200. Source:
    Lopez-Paz and Oquab 2017 (arXiv:1610.06545, section 3).
    """
    last = accuracies[-rule.patience :]
    fooled = [figure for figure in last if _is_chance(rule, figure)]
    if len(fooled) < rule.patience:
        return None
    shown = ", ".join(f"{100 * figure.value:.1f} %" for figure in last)
    return f"freshly trained critics tell fakes from held-out items no better than chance: {shown}"


def _is_chance(rule: Equilibrium, accuracy: Figure) -> bool:
    judged = _judged(accuracy)
    return judged >= FEWEST_JUDGED and accuracy.value <= 0.5 + rule.errors / (2 * sqrt(judged))


def _judged(accuracy: Figure) -> int:
    """Of how many items it is the share, by its error sqrt(p (1 - p) / n); 0 where that is 0."""
    error, value = accuracy.standard_error, accuracy.value
    return round(value * (1 - value) / error**2) if error else 0
