"""What only a GPU can show, and how fast training is on one: see `__main__`."""
