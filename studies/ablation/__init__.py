"""What each part of the method adds: rows of settings, trained with several seeds."""
