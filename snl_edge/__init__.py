"""snl-edge: one visual anomaly detector for every product on the line, from PyTorch to a TensorRT engine."""

from importlib.metadata import version

__version__ = version("snl-edge")
