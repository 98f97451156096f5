"""Measures a generator: every figure with its error, and the floor that real items would get.

All of it is a function of (generator, dataset, protocol, features): the same numbers twice on one
machine.
"""

from dataclasses import replace
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from ganmodels.data.batches import to_network
from ganmodels.data.packed import PackedDataset
from ganmodels.referee.config import Measure, Protocol
from ganmodels.referee.evaluation.contest import Contest, NotMeasuredError
from ganmodels.referee.evaluation.nearest import nearest_among
from ganmodels.referee.evaluation.split import RealSplit, split_reals
from ganmodels.referee.evaluation.taking import BETTER, TAKERS, Taken
from ganmodels.referee.features.loading import Features
from ganmodels.referee.findings import Figure, Findings, UsedProtocol
from ganmodels.sampling import Sampler
from ganmodels.spaces import Space

_CPU = torch.device("cpu")
_FEWEST_ITEMS = 10
_MOST_COPIES = 2_000
_MOST_TRAINING = 100_000


def evaluate(
    sampler: Sampler, dataset: PackedDataset, protocol: Protocol, features: Features
) -> Findings:
    """Take the protocol's measures; those that cannot be taken are left out with the reason.

    Draws as many fakes as there are reals to compare with, at most ``protocol.samples``. Where
    the game is conditional they are of the labels of the floor's items, so that a perfect
    generator gets the floor however unevenly the dataset is labelled; clusters are drawn by
    their shares.
    """
    split = split_reals(dataset, protocol)
    used = _used(protocol, split, features)
    count = len(split.reference)
    if count < _FEWEST_ITEMS:
        reason = f"There are {count} real items to compare with; {_FEWEST_ITEMS} are needed."
        return _nothing(used, reason)
    inputs = sampler.inputs(protocol.seed, 0, count)
    fakes = sampler.draw(inputs, _labels(sampler, dataset, split, protocol.seed))
    if not _is_finite(fakes, dataset.manifest.space):
        return _nothing(used, "The generator draws values that are not finite.")
    given = _given(fakes, dataset, split, protocol, features)
    return _findings(given, _floor(given, split), used)


def _labels(
    sampler: Sampler, dataset: PackedDataset, split: RealSplit, seed: int
) -> NDArray[np.int64]:
    """Labels for as many fakes as there are items in the floor."""
    if sampler.clusters is not None or dataset.labels is None:
        return sampler.labels(seed, 0, len(split.floor))
    return np.array(dataset.labels[split.floor])


def _is_finite(fakes: NDArray[np.generic], space: Space) -> bool:
    return space.bounded or bool(to_network(fakes, space, _CPU).isfinite().all())


def _given(
    fakes: NDArray[np.generic],
    dataset: PackedDataset,
    split: RealSplit,
    protocol: Protocol,
    features: Features,
) -> Contest:
    reals = dataset.items[split.reference]
    copies, unseen = _to_training(fakes, dataset, split, protocol)
    critic_reals = (dataset.items[split.critic_training], dataset.items[split.critic_unseen])
    return Contest(
        dataset=dataset,
        features=features,
        fakes=fakes,
        reals=reals,
        real_features=features.of(reals),
        critic_reals=critic_reals,
        copies=copies,
        unseen=unseen,
        seed=protocol.seed,
        with_errors=True,
    )


def _to_training(
    fakes: NDArray[np.generic], dataset: PackedDataset, split: RealSplit, protocol: Protocol
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances to the nearest training item, of fakes and of held-out items.

    Of at most 2,000 fakes, to at most 100,000 training items; none where nobody asks.
    """
    if "neighbours" not in protocol.measures or not len(split.unseen):
        return np.empty(0), np.empty(0)
    stride = -(-len(dataset.training_indices) // _MOST_TRAINING)
    training = dataset.training_indices[::stride]
    copies, _ = nearest_among(fakes[:_MOST_COPIES], dataset, training)
    unseen, _ = nearest_among(dataset.items[split.unseen], dataset, training)
    return copies, unseen


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
        for take in TAKERS[measure]:
            try:
                figures |= _figures(take(given), take(floor))
            except NotMeasuredError as reason:
                left_out[measure] = str(reason)
    return Findings(protocol=used, figures=figures, left_out=left_out)


def _figures(taken: Taken, floor: Taken) -> dict[str, Figure]:
    if not all(isfinite(found.value) for found in taken.values()):
        raise NotMeasuredError("The generator draws values too large to compute with.")
    return {
        name: Figure(
            value=found.value,
            standard_error=_finite(found.standard_error),
            floor=floor[name].value,
            better=BETTER[name],
            at_least=found.at_least,
        )
        for name, found in taken.items()
    }


def _finite(error: float | None) -> float | None:
    return error if error is not None and isfinite(error) else None


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
