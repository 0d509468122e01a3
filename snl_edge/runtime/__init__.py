"""What runs on the device: bundle, Detector and its backends. Nothing here needs torch."""
