"""What people change on a running line, and what it takes up again at its next start."""
