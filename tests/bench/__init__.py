"""How fast training is, as ratios between loops that run side by side: see `__main__`."""
