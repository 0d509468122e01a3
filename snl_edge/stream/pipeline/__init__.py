"""Parts on their way: waiting, inspected, judged, on disk."""
