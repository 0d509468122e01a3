"""From a camera's picture to the graph's input."""
