"""From a contest to named figures: which measure gives which, and which way is better."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch

from ganmodels.referee.config import Measure
from ganmodels.referee.evaluation.contest import Contest, NotMeasuredError
from ganmodels.referee.features.batching import shrunken
from ganmodels.referee.features.pixels import Pixels
from ganmodels.referee.measures.critic import Examples, critic_accuracy
from ganmodels.referee.measures.estimate import Estimate
from ganmodels.referee.measures.frechet import frechet
from ganmodels.referee.measures.kernel import kernel
from ganmodels.referee.measures.manifold import manifold
from ganmodels.referee.measures.modes import modes
from ganmodels.referee.measures.neighbours import neighbour_accuracies, neighbour_distance
from ganmodels.referee.measures.similarity import ms_ssim
from ganmodels.referee.measures.sliced import sliced_wasserstein
from ganmodels.referee.measures.support import Views, support
from ganmodels.spaces import ImageSpace

_CPU = torch.device("cpu")
_SIMILAR_EDGE = 128
_MOST_SIMILAR = 2_000
_FEWEST_UNSEEN = 5
_FEWEST_JUDGED = 100

Taken = Mapping[str, Estimate]

BETTER: Mapping[str, Literal["lower", "higher", "half"]] = MappingProxyType(
    {
        "frechet": "lower",
        "kernel": "lower",
        "precision": "higher",
        "recall": "higher",
        "density": "higher",
        "coverage": "higher",
        "sliced_wasserstein": "lower",
        "ms_ssim": "lower",
        "critic_accuracy": "half",
        "neighbour_accuracy": "half",
        "neighbour_accuracy_real": "half",
        "neighbour_accuracy_fake": "half",
        "neighbour_distance": "higher",
        "modes_covered": "higher",
        "modes_kl": "lower",
        "support_size": "higher",
        "duplicates": "lower",
    }
)


def _frechet(contest: Contest) -> Taken:
    given = contest.fake_features, contest.real_features
    return {"frechet": frechet(*given, with_error=contest.with_errors)}


def _kernel(contest: Contest) -> Taken:
    return {"kernel": kernel(contest.fake_features, contest.real_features)}


def _manifold(contest: Contest) -> Taken:
    return manifold(contest.fake_features, contest.real_features)._asdict()


def _sliced_wasserstein(contest: Contest) -> Taken:
    given = contest.fake_features, contest.real_features
    return {"sliced_wasserstein": sliced_wasserstein(*given, with_error=contest.with_errors)}


def _ms_ssim(contest: Contest) -> Taken:
    if not isinstance(contest.space, ImageSpace):
        raise NotMeasuredError("Structural similarity compares images; these are points.")
    images = shrunken(contest.fakes[:_MOST_SIMILAR], contest.space, _SIMILAR_EDGE, _CPU)
    return {"ms_ssim": ms_ssim((images + 1) / 2)}


def _critic(contest: Contest) -> Taken:
    held_out = len(contest.dataset.held_out)
    if held_out < _FEWEST_JUDGED:
        raise NotMeasuredError(
            f"{held_out} items are held out; a critic is judged on {_FEWEST_JUDGED} or more."
        )
    half = len(contest.fakes) // 2
    training_reals, unseen_reals = contest.critic_reals
    training = Examples.of(contest.space, contest.fakes[:half], training_reals)
    # As many as reals: else always the same answer would be right more often than half.
    unseen_fakes = contest.fakes[half : half + len(unseen_reals)]
    unseen = Examples.of(contest.space, unseen_fakes, unseen_reals)
    return {"critic_accuracy": critic_accuracy(training, unseen, contest.seed)}


def _neighbours(contest: Contest) -> Taken:
    accuracies = neighbour_accuracies(contest.fake_features, contest.real_features)
    return {
        "neighbour_accuracy": accuracies.all,
        "neighbour_accuracy_real": accuracies.real,
        "neighbour_accuracy_fake": accuracies.fake,
    }


def _neighbour_distance(contest: Contest) -> Taken:
    if min(len(contest.copies), len(contest.unseen)) < _FEWEST_UNSEEN:
        raise NotMeasuredError("Too few items are held out to say how near new items come.")
    # The lower of two middle values: half of an even number may be copies.
    if not np.quantile(contest.unseen, 0.5, method="lower"):
        raise NotMeasuredError("Half of the held-out items are in the training split too.")
    return {"neighbour_distance": neighbour_distance(contest.copies, contest.unseen)}


def _modes(contest: Contest) -> Taken:
    fakes, reals = contest.features.labels(contest.fakes), contest.features.labels(contest.reals)
    if fakes is None or reals is None:
        raise NotMeasuredError("Modes are counted by a classifier; these features have none.")
    found = modes(fakes, reals, len(contest.space.classes))
    return {"modes_covered": found.covered, "modes_kl": found.kl}


def _support(contest: Contest) -> Taken:
    pixels = Pixels(contest.space, _CPU)
    fakes = Views(contest.fake_features, pixels.of(contest.fakes))
    found = support(fakes, Views(contest.real_features, pixels.of(contest.reals)))
    return {"support_size": found.size, "duplicates": found.duplicates}


Taker = Callable[[Contest], Taken]

TAKERS: Mapping[Measure, tuple[Taker, ...]] = MappingProxyType(
    {
        "frechet": (_frechet,),
        "kernel": (_kernel,),
        "manifold": (_manifold,),
        "sliced_wasserstein": (_sliced_wasserstein,),
        "ms_ssim": (_ms_ssim,),
        "critic": (_critic,),
        "neighbours": (_neighbours, _neighbour_distance),
        "modes": (_modes,),
        "support": (_support,),
    }
)
