"""Logs go to standard error: people at a terminal and containers read them there."""

import logging
import sys


def log_to_stderr() -> None:
    """One line per message, for people at a terminal and for containers."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )
