"""Experiments too long for the tests, on runs that are killed, stopped and scaled: see `__main__`."""
