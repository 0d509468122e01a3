"""``line.yaml``: everything about one line, the dashboard's block included."""
