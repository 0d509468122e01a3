"""The whole line: throughput, long runs, kills, and hostile connections."""
