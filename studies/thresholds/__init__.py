"""What thresholds from few images keep of their promise."""
