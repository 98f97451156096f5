"""Counting the modes of a known density: the densities, what is measured, trivial samplers."""
