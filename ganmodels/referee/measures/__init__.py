"""Measures of a generator: one family a file, pure functions on arrays."""
