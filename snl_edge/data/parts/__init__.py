"""How the parts of the synthetic line are drawn: their surfaces, their defects, the light and the camera."""
