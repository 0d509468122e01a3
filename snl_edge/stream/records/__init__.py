"""What the line keeps of a part: its verdict and what became of it."""
