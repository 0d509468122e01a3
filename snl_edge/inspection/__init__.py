"""What `snl-edge inspect` says of a bundle, a run, a graph or an engine."""
