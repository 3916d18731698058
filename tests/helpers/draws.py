"""One generator of what tests draw, which begins anew with each test, whatever ran before it."""

import numpy as np

RNG = np.random.default_rng(0)
START = RNG.bit_generator.state


def begin_anew() -> None:
    RNG.bit_generator.state = START
