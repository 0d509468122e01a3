"""From a run to a bundle: which graphs may ship, by the accuracy gate, and the engine inside it."""
