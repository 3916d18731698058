"""The page of a run: its figures, curves and pictures."""
