"""From raw anomaly scores to a scale on which 0.5 decides where a product has no threshold of its own."""
