"""Generators made ready to serve, once, when they are loaded."""

from ganmodels.preparation.preparing import Preparation, Prepared, prepare

__all__ = ["Preparation", "Prepared", "prepare"]
