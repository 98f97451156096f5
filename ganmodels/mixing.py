"""Mixing latents: between several, along a path through some, over the plane through three.

What a latent is made of decides how its parts are mixed. Normal coordinates follow great circles:
the length of a normal vector of many coordinates hardly varies, and a generator has seen no
shorter ones, such as lie on the straight line between two. Source: White 2016 (arXiv:1609.04468),
section 2.1, here with lengths of their own. Uniform coordinates and continuous codes are mixed
linearly. Signs and choices cannot lie between others: they are those of the nearest latent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ganmodels.latents import Latent

Mode = Literal["slerp", "lerp"]
Easing = Literal["linear", "smoothstep"]

LatentArray = NDArray[np.float32]
Values = NDArray[np.float64]

# Nearer to 0 or to half a turn an arc is a straight line, or is not one arc but any.
_SMALLEST_SINE = 1e-4
# What is shorter has no direction worth following.
_SHORTEST = 1e-6
_EASED: Mapping[Easing, Callable[[Values], Values]] = {
    "linear": lambda place: place,
    "smoothstep": lambda place: place * place * (3 - 2 * place),
}


def mixed(latent: Latent, terms: LatentArray, weights: Values, mode: Mode) -> LatentArray:
    """Latents [n, width] of terms [terms, n, width] with weights [terms, 1] or [terms, n].

    Weights count by their share of the sum, which must be positive. "slerp" takes none below 0;
    it goes from the first term towards the second, from there towards the third and so on, each
    time by the share of the new term in the sum so far: in another order several terms give
    another latent. "lerp" is linear in the normal coordinates too, which makes them shorter, or
    with weights below 0 longer. Signs and choices are those of the term with the largest weight,
    the first of equals. A term of all the weight is given back unchanged.
    """
    count = terms.shape[1]
    spread = np.broadcast_to(weights, (len(terms), count)).astype(np.float64)
    shares, exact = spread / spread.sum(0), terms.astype(np.float64)
    linear = (shares[:, :, None] * exact).sum(0)
    nearest = terms[spread.argmax(0), np.arange(count)]
    normal = exact[:, :, : latent.gaussian]
    return _assembled(latent, _MIXED[mode](normal, spread), linear, nearest)


def along(
    latent: Latent, keyframes: LatentArray, places: Values, mode: Mode, easing: Easing = "linear"
) -> LatentArray:
    """Latents [n, width] at places [n] of a path through keyframes [keyframes, width].

    Place k is keyframe k, and places up to the number of keyframes lead back to the first. Every
    stretch is a mix of its two ends; "smoothstep" sets out and arrives slowly.
    """
    before = np.floor(places).astype(np.int64)
    passed = _EASED[easing](places - before)
    ends = np.stack([keyframes[before % len(keyframes)], keyframes[(before + 1) % len(keyframes)]])
    return mixed(latent, ends, np.stack([1 - passed, passed]), mode)


def on_plane(
    latent: Latent, corners: LatentArray, across: Values, down: Values, mode: Mode
) -> LatentArray:
    """Latents [n, width] over the plane through corners [3, width]: a, b to its right, c below.

    ``across`` and ``down`` [n] are 0 at a and 1 at b and at c. Linear parts are those of the
    parallelogram. For "slerp" its fourth corner points where b + c - a points and is as long as
    b and c together without a; a latent lies on the arc between those of the upper and of the
    lower edge, which are arcs too. Signs and choices are those of the nearest of a, b and c.
    """
    a, b, c = corners.astype(np.float64)
    linear = a + across[:, None] * (b - a) + down[:, None] * (c - a)
    apart = [across**2 + down**2, (1 - across) ** 2 + down**2, across**2 + (1 - down) ** 2]
    nearest = corners[np.stack(apart).argmin(0)]
    normal = linear[:, : latent.gaussian]
    if mode == "slerp":
        a, b, c = (np.broadcast_to(one[: latent.gaussian], normal.shape) for one in (a, b, c))
        upper, lower = _arc(a, b, across), _arc(c, _fourth(a, b, c), across)
        normal = _arc(upper, lower, down)
    return _assembled(latent, normal, linear, nearest)


def _assembled(latent: Latent, normal: Values, linear: Values, nearest: LatentArray) -> LatentArray:
    """Latents of parts that were mixed by rules of their own."""
    even = latent.gaussian + latent.uniform
    codes = latent.width - latent.continuous
    parts: list[NDArray[Any]] = [
        normal,
        linear[:, latent.gaussian : even],
        nearest[:, even:codes],
        linear[:, codes:],
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _straight(terms: Values, weights: Values) -> Values:
    """The mean [n, values] of terms [terms, n, values] by weights [terms, n]."""
    mean: Values = ((weights / weights.sum(0))[:, :, None] * terms).sum(0)
    return mean


def _turned(terms: Values, weights: Values) -> Values:
    """The same along arcs, term by term."""
    point: Values = terms[0]
    total: Values = weights[0]
    for term, weight in zip(terms[1:], weights[1:], strict=True):
        total = total + weight
        point = _arc(point, term, _ratio(weight, total))
    return point


_MIXED: Mapping[Mode, Callable[[Values, Values], Values]] = {"slerp": _turned, "lerp": _straight}


def _arc(first: Values, second: Values, fraction: Values) -> Values:
    """Vectors [n, values] a fraction [n] of the way from the first to the second.

    Directions follow the great circle at a constant pace, lengths change linearly. Where there is
    no such circle, or no single one, the way is straight.
    """
    shares, lengths = (1 - fraction, fraction), (_length(first), _length(second))
    cosine = _ratio((first * second).sum(1), lengths[0] * lengths[1])
    angle = np.arccos(np.clip(cosine, -1, 1))
    sine, length = np.sin(angle), shares[0] * lengths[0] + shares[1] * lengths[1]
    straight = (sine < _SMALLEST_SINE) | (np.minimum(*lengths) < _SHORTEST)
    factors = [
        np.where(straight, share, _ratio(np.sin(share * angle) * length, sine * own))
        for share, own in zip(shares, lengths, strict=True)
    ]
    return _rounded(factors[0])[:, None] * first + _rounded(factors[1])[:, None] * second


def _fourth(a: Values, b: Values, c: Values) -> Values:
    """The corner [n, values] across from a."""
    opposite = b + c - a
    length = _length(opposite)
    wanted = np.where(length < _SHORTEST, 0, np.maximum(_length(b) + _length(c) - _length(a), 0))
    return _rounded(_ratio(wanted, length))[:, None] * opposite


def _length(vectors: Values) -> Values:
    length: Values = np.sqrt((vectors * vectors).sum(1))
    return length


def _ratio(above: Values, below: Values) -> Values:
    """The quotient; 0 where there is none."""
    return np.divide(above, below, out=np.zeros_like(below), where=below > 0)


def _rounded(factors: Values) -> Values:
    """Machines differ in the last bits of a sine; without them latents are the same on all."""
    return factors.astype(np.float32).astype(np.float64)
