"""What `snl_edge.benchmarks.fuzz` gives to every reader of files from outside: real files, changed ones, and bombs."""
