"""Who hears of verdicts: actuators at once, sinks from the journal."""
