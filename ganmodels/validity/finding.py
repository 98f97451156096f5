"""What is wrong or doubtful with a configuration."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing wrong (``error``) or doubtful (``warning``) with a configuration.

    ``pointer`` is a JSON pointer into the configuration.
    """

    severity: Literal["error", "warning"]
    code: str
    pointer: str
    detail: str


class InvalidConfig(Exception):  # noqa: N818 - a statement about the value, as in ValueError
    """A configuration that would not train; ``findings`` says why and what to change."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(finding.detail for finding in findings))
        self.findings = findings


def error(code: str, pointer: str, detail: str) -> Finding:
    """Something that would not train."""
    return Finding("error", code, pointer, detail)


def warning(code: str, pointer: str, detail: str) -> Finding:
    """Something that is allowed and doubtful."""
    return Finding("warning", code, pointer, detail)
