"""What the benchmark of memory is made of."""
