"""Evaluations by protocol: only numbers of one protocol can be compared."""

from collections.abc import Mapping, Sequence

from ganmodels.referee.findings import UsedProtocol
from service.plots.evaluations import Evaluation

AIMS: Mapping[str, str] = {
    "lower": "lower is better",
    "higher": "higher is better",
    "half": "0.5 is perfect",
}


def by_protocol(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Evaluations by step, for each protocol in a line."""
    grouped: dict[str, list[Evaluation]] = {}
    for evaluation in sorted(evaluations, key=lambda e: e.step):
        if evaluation.findings:
            text = _describe(evaluation.findings.protocol)
            grouped.setdefault(text, []).append(evaluation)
    return grouped


def figure_names(evaluations: Sequence[Evaluation]) -> list[str]:
    """The figures that any evaluation found, in the order in which they were."""
    found = [name for e in evaluations if e.findings for name in e.findings.figures]
    return list(dict.fromkeys(found))


def _describe(protocol: UsedProtocol) -> str:
    """Equal for those whose numbers can be compared."""
    reference, accuracy = protocol.reference.replace("_", "-"), protocol.features_accuracy
    rightly = "" if accuracy is None else f" (accuracy {accuracy:.3f})"
    return (
        f"{protocol.samples:,} items ({protocol.weights} weights, seed {protocol.seed}) against "
        f"{protocol.reference_samples:,} {reference} items, {protocol.features} features "
        f"{protocol.features_sha256[:8]}{rightly}"
    )
