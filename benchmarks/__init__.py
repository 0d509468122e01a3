"""Measurements, and the result files that every figure in the documentation comes from."""
