"""What both sides of a bundle agree on: the fused graph's inputs and outputs, and how a run's files are called."""
