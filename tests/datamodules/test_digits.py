"""Digits are read without scikit-learn, and are the same."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ae_lightning.datamodules import digits


@pytest.mark.parametrize("lies_elsewhere", [False, True])
def test_its_file_holds_what_scikit_learn_reads(
    lies_elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lies_elsewhere:
        monkeypatch.setattr(digits, "find_spec", lambda _: None)
    for found, expected in zip(digits.stored(), load_digits(return_X_y=True), strict=True):
        assert np.array_equal(found, expected)
