"""From bytes to batches: readers, the packed form, and batches as a pure function of (seed, step)."""
