"""Sensors that more than one part reads: NVIDIA GPUs by NVML, and the kernel's thermal zones. Reads only."""
