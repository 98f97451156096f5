"""From bytes to batches: readers, the packed form, batches as a function of (seed, step)."""
