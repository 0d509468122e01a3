"""How well a model detects: metrics, the decision threshold, and the report."""
