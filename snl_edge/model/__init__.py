"""Structural Teacher-Student Normality Learning (SNL) in plain PyTorch."""
