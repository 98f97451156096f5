"""Which real items an evaluation compares with: the reference, and others for the floor."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganmodels.data.packed import PackedDataset
from ganmodels.latents import philox
from ganmodels.referee.config import Protocol

_ENOUGH_HELD_OUT = 500
_FEWEST_UNSEEN = 100
_SPLIT_STREAM = 2

Indices = NDArray[np.int64]


class RealSplit(NamedTuple):
    """Indices into the dataset, in random order; ``reference`` and ``floor`` are equally many.

    ``floor`` shares no item with ``reference`` and stands for a perfect generator. A critic is
    trained on ``critic_training``, which are training items, and judged on ``critic_unseen``,
    which are held out: half as many as ``reference`` where there are; neither holds an item of
    ``floor``. ``unseen`` are held-out items, as many where there are, which show how near to the
    training split new items come.
    """

    kind: Literal["held_out", "training"]
    reference: Indices
    floor: Indices
    critic_training: Indices
    critic_unseen: Indices
    unseen: Indices


def split_reals(dataset: PackedDataset, protocol: Protocol) -> RealSplit:
    """The split of a dataset, a function of both.

    Held-out reference: at most all held-out items; floor and what the critic learns from are
    training items. Training reference: at most half of the training split, so that the other
    half gives a floor of the same count.
    """
    random = philox(protocol.seed, 0, _SPLIT_STREAM)
    training = random.permutation(dataset.training_indices)
    held_out = random.permutation(dataset.held_out)
    count = reference_count(dataset, protocol)
    half = count // 2
    if _uses_held_out(dataset, protocol):
        reference = held_out[:count]
        unseen = held_out[: max(count, _FEWEST_UNSEEN)]
        spare = training[count : count + half]
        return RealSplit("held_out", reference, training[:count], spare, reference[half:], unseen)
    reference = training[:count]
    floor = training[count : 2 * count]
    unseen = held_out[: max(count, _FEWEST_UNSEEN)]
    judged = held_out[: count - half]
    return RealSplit("training", reference, floor, reference[:half], judged, unseen)


def reference_count(dataset: PackedDataset, protocol: Protocol) -> int:
    """How many reals, and as many fakes, an evaluation compares; nothing is drawn for it."""
    held_out = dataset.manifest.held_out_count
    training = dataset.manifest.count - held_out
    if _uses_held_out(dataset, protocol):
        return min(protocol.samples, held_out, training * 2 // 3)
    return min(protocol.samples, training // 2)


def _uses_held_out(dataset: PackedDataset, protocol: Protocol) -> bool:
    if protocol.reference == "auto":
        return dataset.manifest.held_out_count >= _ENOUGH_HELD_OUT
    return protocol.reference == "held_out"
