"""What the benchmark of training is made of."""
