"""Broken files for every reader of files from outside, and commands that are stopped at any moment."""
