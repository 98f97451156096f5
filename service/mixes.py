"""Mixes as users write them: ``s7:0.3,s12:0.7``, latents of seeds with their weights."""

import math
import re
from collections.abc import Sequence

from ganmodels.latents import MAX_SEED
from ganmodels.mixing import Mode
from service.origins import Mix, Seeded
from service.problems import parameter_problem

MAX_TERMS = 8
# Of the sum of all: no mix is so many times as long as its terms.
_LARGEST_SHARE = 10.0
_TERM = re.compile(r"s([0-9]{1,19})(?::(-?[0-9]{1,4}(?:\.[0-9]{1,10})?))?")
_HOW = (
    f"write a mix as s7:0.3,s12:0.7: up to {MAX_TERMS} seeds, each after an s and with a weight, "
    "1 where it is left out"
)


def query_mix(text: str | None, mode: Mode | None, seed: int | None) -> Mix | None:
    """The mix that a query names, if it names one.

    Raises:
        Problem: when it is none, or there is a seed beside it.
    """
    if text is None:
        if mode is not None:
            raise parameter_problem("validation", "mix_mode", "mix_mode goes with mix; give both")
        return None
    if seed is not None:
        detail = "seed and mix exclude each other; s7:1 in a mix is seed 7"
        raise parameter_problem("validation", "mix", detail)
    try:
        return parse_mix(text, mode or "slerp")
    except ValueError as error:
        raise parameter_problem("validation", "mix", f"{error}") from None


def parse_mix(text: str, mode: Mode) -> Mix:
    """The mix that a text names.

    Raises:
        ValueError: saying how to write one.
    """
    found = [_TERM.fullmatch(part.strip()) for part in text.split(",")]
    terms = [(int(match[1]), float(match[2] or 1)) for match in found if match]
    if len(terms) != len(found) or len(terms) > MAX_TERMS:
        raise ValueError(_HOW)
    if any(seed > MAX_SEED for seed, _ in terms):
        raise ValueError(f"seeds are at most {MAX_SEED}")
    weights = [weight for _, weight in terms]
    check_weights(weights, mode)
    written = ",".join(f"s{seed}:{_written(weight)}" for seed, weight in terms)
    return Mix(tuple(Seeded(seed) for seed, _ in terms), tuple(weights), mode, written)


def _written(weight: float) -> str:
    """As it may be read again, which a power of ten may not."""
    return f"{weight:.10f}".rstrip("0").rstrip(".")


def check_weights(weights: Sequence[float], mode: Mode) -> None:
    """Refuse weights that make no latent, or one far from all that generators have seen.

    Raises:
        ValueError: saying what is wrong.
    """
    if mode == "slerp" and min(weights) < 0:
        raise ValueError("slerp takes weights of at least 0; take lerp to subtract")
    total = math.fsum(weights)
    if total <= 0 or max(map(abs, weights)) > _LARGEST_SHARE * total:
        raise ValueError(
            "the weights must add up to more than 0, and none may be more than "
            f"{_LARGEST_SHARE:g} times their sum"
        )
