"""Experiments too long for the tests, on runs killed, stopped or scaled: see `__main__`."""
