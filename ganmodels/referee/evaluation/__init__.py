"""Evaluations: from a generator and a dataset to figures with errors and floors."""
