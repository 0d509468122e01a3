"""Training SNL on images of good products."""
