"""What FP16, BF16 and INT8 cost in detection and save in size, and what calibrating takes."""
