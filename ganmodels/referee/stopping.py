"""When there is nothing more to gain, by evaluations in the order of their steps."""

from collections.abc import Sequence

from ganmodels.referee.config import Equilibrium, Plateau
from ganmodels.referee.findings import Figure


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
    """Why an equilibrium is reached, if it is: the figures are accuracies of fresh critics."""
    last = accuracies[-rule.patience :]
    fooled = [f for f in last if f.value <= 0.5 + rule.errors * (f.standard_error or 0.0)]
    if len(fooled) < rule.patience:
        return None
    shown = ", ".join(f"{100 * figure.value:.1f} %" for figure in last)
    return f"freshly trained critics tell fakes from held-out items no better than chance: {shown}"
