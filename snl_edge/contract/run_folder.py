"""Names of a run folder's files, for code without torch too: it tells a run from a bundle, and says what to do."""

from __future__ import annotations

CHECKPOINT = "checkpoint.json"
"""The file that makes a folder a run folder."""
IMAGES = "images.json"
"""What a run used each of its images for, by content, where ``checkpoint.json`` names no other file."""
