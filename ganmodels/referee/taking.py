"""From a contest to named figures: which measure gives which, and which way is better."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from ganmodels.referee.config import Measure
from ganmodels.referee.contest import Contest, NotMeasuredError
from ganmodels.referee.measures.estimate import Estimate
from ganmodels.referee.measures.frechet import frechet
from ganmodels.referee.measures.kernel import kernel
from ganmodels.referee.measures.manifold import manifold

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


def _later(contest: Contest) -> Taken:
    raise NotMeasuredError("Not measured yet.")


TAKERS: Mapping[Measure, Callable[[Contest], Taken]] = MappingProxyType(
    {
        "frechet": _frechet,
        "kernel": _kernel,
        "manifold": _manifold,
        "sliced_wasserstein": _later,
        "ms_ssim": _later,
        "critic": _later,
        "neighbours": _later,
        "modes": _later,
        "support": _later,
    }
)
