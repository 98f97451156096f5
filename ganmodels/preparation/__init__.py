"""Generators made ready to serve, once, when they are loaded."""

from ganmodels.preparation.preparing import (
    Preparation,
    Prepared,
    be_repeatable,
    kind_of_machine,
    prepare,
)

__all__ = ["Preparation", "Prepared", "be_repeatable", "kind_of_machine", "prepare"]
