"""Serving frameworks, each as its users run it: a script, an environment, settings to try."""
