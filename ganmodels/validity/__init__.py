"""What the types cannot say: combinations that do not train, each with its reason and remedy.

To add a rule: write a function from a configuration to findings in the file of its game, and add
it to that file's ``RULES``.
"""

from collections.abc import Callable, Iterator

from ganmodels.config import TrainConfig
from ganmodels.validity import referee, several, shared
from ganmodels.validity.finding import Finding, InvalidConfig
from ganmodels.validity.gan import check_gan
from ganmodels.validity.semi_supervised import check_semi_supervised
from ganmodels.validity.sourced import check_sourced

Rule = Callable[[TrainConfig], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    check_gan,
    check_semi_supervised,
    check_sourced,
    *shared.RULES,
    *referee.RULES,
    *several.RULES,
)


def check(config: TrainConfig) -> list[Finding]:
    """The warnings on a configuration.

    Raises:
        InvalidConfig: if any finding is an error.
    """
    findings = [finding for rule in RULES for finding in rule(config)]
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise InvalidConfig(errors)
    return findings


__all__ = ["RULES", "Finding", "InvalidConfig", "check"]
