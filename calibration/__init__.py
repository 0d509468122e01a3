"""From raw anomaly scores to a scale on which 0.5 decides."""
