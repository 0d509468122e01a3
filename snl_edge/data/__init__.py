"""Data sets of product images: their layouts on disk, their checks, and a synthetic production line."""
