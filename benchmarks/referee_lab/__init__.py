"""Matches whose course is known beforehand, and what the referee says of them."""
