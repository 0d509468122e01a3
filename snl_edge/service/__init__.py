"""A line as a service: what runs around it, what is checked before, the demonstration."""
