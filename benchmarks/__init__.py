"""`snl-edge bench`: speed, memory and energy of a bundle on this machine, compared and reported."""
