"""What the benchmarks of generators share: options, play, frozen judges, measures, records."""
