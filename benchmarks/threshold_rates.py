"""False rejects and escapes of thresholds that rest on few images."""
KIND = "threshold_draws"
def measure_rates(draws): return {}
