"""What flows through training says what it is."""

import pytest

from ae_lightning.core.types import ForwardPass, Pair

SHAPES = {
    Pair: {"x_tilde": "(B, *S)", "x": "(B, *S)", "y": "(B,)", "places": "(B,)"},
    ForwardPass: {
        "x": "(B, *S)",
        "x_tilde": "(B, *S)",
        "features": "(B, F)",
        "q": "batch (B,), event (K,)",
        "z": "(R, B, K)",
        "p": "batch (R, B), event S",
    },
}


@pytest.mark.parametrize("kind", SHAPES)
def test_help_says_what_each_field_is_and_of_which_shape(kind):
    assert tuple(SHAPES[kind]) == kind._fields
    lines = [line.strip() for line in kind.__doc__.splitlines()]
    for name, shape in SHAPES[kind].items():
        (said,) = [line for line in lines if line.startswith(f"{name}: ")]
        assert shape in said
    assert not {"index", "count"} & set(kind._fields)  # a tuple's own methods
