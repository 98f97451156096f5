"""The best checkpoint, told from noise."""

from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

from ganmodels.referee.findings import Figure


class Best(NamedTuple):
    """The chosen step, its figure, and one sentence on how sure the choice is."""

    step: int
    figure: Figure
    confidence: str


def best(readings: Sequence[tuple[int, Figure]]) -> Best:
    """The step with the least value; a later one where the difference is within its error.

    The error of a difference is sqrt(a^2 + b^2), that of a missing error 0. Checkpoints are
    measured against the same reals with the same latents, so it errs on the large side.

    Raises: ValueError without readings.
    """
    if not readings:
        raise ValueError("there is no reading to choose from")
    ordered = sorted(readings)
    least = min(ordered, key=lambda reading: reading[1].value)
    close = [
        reading
        for reading in ordered
        if reading[0] >= least[0]
        and reading[1].value - least[1].value <= _error(reading[1], least[1])
    ]
    chosen = close[-1]
    return Best(*chosen, _sentence(chosen, least, ordered))


def _error(one: Figure, other: Figure) -> float:
    return hypot(one.standard_error or 0.0, other.standard_error or 0.0)


def _sentence(
    chosen: tuple[int, Figure], least: tuple[int, Figure], readings: list[tuple[int, Figure]]
) -> str:
    others = [reading for reading in readings if reading[0] != chosen[0]]
    if not others:
        return f"Step {chosen[0]} is the only one that was measured."
    if chosen[0] != least[0]:
        return (
            f"Step {chosen[0]} is the latest that cannot be told from the least value "
            f"({least[1].value:.4g} at step {least[0]}) within one standard error."
        )
    second = min(others, key=lambda reading: reading[1].value)
    return f"Step {chosen[0]} has the least of {len(readings)} values; " + _margin(chosen, second)


def _margin(chosen: tuple[int, Figure], second: tuple[int, Figure]) -> str:
    difference = second[1].value - chosen[1].value
    error = _error(chosen[1], second[1])
    if not error:
        return f"the next, at step {second[0]}, is {difference:.4g} higher, of unknown error."
    errors = difference / error
    doubt = "" if errors >= 2 else ", which may be chance"
    return f"the next, at step {second[0]}, is {errors:.1f} standard errors higher{doubt}."
