"""A Jetson as it describes itself in files: which board it is, its power rails, its power modes. Reads only."""
