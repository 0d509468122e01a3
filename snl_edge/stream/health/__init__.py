"""How a line is: counts, drift, shares, sensors, a light for each, and the heartbeat."""
