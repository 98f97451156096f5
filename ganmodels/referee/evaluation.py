"""Measures a generator: every figure with its error, and the floor that real items would get.

All of it is a function of (generator, dataset, protocol, features): the same numbers twice on one
machine.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.packed import PackedDataset
from ganmodels.referee.config import Measure, Protocol
from ganmodels.referee.contest import Contest, NotMeasuredError
from ganmodels.referee.features import Features
from ganmodels.referee.findings import Figure, Findings, UsedProtocol
from ganmodels.referee.measures.estimate import Estimate
from ganmodels.referee.split import RealSplit, split_reals
from ganmodels.referee.taking import BETTER, TAKERS
from ganmodels.sampling import Sampler

_FEWEST_ITEMS = 10
_MOST_COPIES = 2_000


def evaluate(
    sampler: Sampler, dataset: PackedDataset, protocol: Protocol, features: Features
) -> Findings:
    """Take the protocol's measures; those that cannot be taken are left out with the reason.

    Draws as many fakes as there are reals to compare with, at most ``protocol.samples``, with
    the labels that the sampler draws itself where the game is conditional.
    """
    split = split_reals(dataset, protocol)
    used = _used(protocol, split, features)
    count = len(split.reference)
    if count < _FEWEST_ITEMS:
        reason = f"There are {count} real items to compare with; {_FEWEST_ITEMS} are needed."
        return _nothing(used, reason)
    latents = sampler.latents(protocol.seed, 0, count)
    fakes = sampler.draw(latents, sampler.labels(protocol.seed, 0, count))
    if not np.isfinite(np.asarray(fakes, dtype=np.float32)).all():
        return _nothing(used, "The generator draws values that are not finite.")
    given = _given(fakes, dataset, split, protocol, features)
    return _findings(given, _floor(given, split), used)


def _given(
    fakes: NDArray[np.generic],
    dataset: PackedDataset,
    split: RealSplit,
    protocol: Protocol,
    features: Features,
) -> Contest:
    reals = dataset.items[split.reference]
    critic_reals = (dataset.items[split.critic_training], dataset.items[split.critic_unseen])
    return Contest(
        dataset=dataset,
        features=features,
        fakes=fakes,
        reals=reals,
        real_features=features.of(reals),
        critic_reals=critic_reals,
        copies=fakes[:_MOST_COPIES],
        unseen=dataset.items[dataset.held_out],
        seed=protocol.seed,
        with_errors=True,
    )


def _floor(given: Contest, split: RealSplit) -> Contest:
    """Real items in the place of fakes; half of the held-out items in that of copies."""
    return replace(
        given,
        fakes=given.dataset.items[split.floor],
        copies=given.unseen[::2],
        unseen=given.unseen[1::2],
        with_errors=False,
    )


def _findings(given: Contest, floor: Contest, used: UsedProtocol) -> Findings:
    figures: dict[str, Figure] = {}
    left_out: dict[Measure, str] = {}
    for measure in dict.fromkeys(used.measures):
        try:
            taken, floors = TAKERS[measure](given), TAKERS[measure](floor)
        except NotMeasuredError as reason:
            left_out[measure] = str(reason)
            continue
        figures |= {name: _figure(name, taken[name], floors.get(name)) for name in taken}
    return Findings(protocol=used, figures=figures, left_out=left_out)


def _figure(name: str, found: Estimate, floor: Estimate | None) -> Figure:
    return Figure(
        value=found.value,
        standard_error=found.standard_error,
        floor=None if floor is None else floor.value,
        better=BETTER[name],
        at_least=found.at_least,
    )


def _nothing(used: UsedProtocol, reason: str) -> Findings:
    return Findings(protocol=used, figures={}, left_out=dict.fromkeys(used.measures, reason))


def _used(protocol: Protocol, split: RealSplit, features: Features) -> UsedProtocol:
    return UsedProtocol(
        measures=protocol.measures,
        samples=len(split.reference),
        reference=split.kind,
        reference_samples=len(split.reference),
        features=features.kind,
        features_sha256=features.sha256,
        features_accuracy=features.accuracy,
        weights=protocol.weights,
        seed=protocol.seed,
    )
