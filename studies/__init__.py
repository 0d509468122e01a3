"""What we measure of snl-edge: every figure in README and docs comes from here (README.md); not in the wheel."""
