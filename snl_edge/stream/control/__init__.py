"""What others see of a running line and ask of it, whatever way they come."""
