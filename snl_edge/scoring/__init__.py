"""What a score means: the scale on which 0.5 decides, thresholds that keep a budget, and what each can vouch for.

NumPy alone; training, evaluation, builds and devices all import it.
"""
