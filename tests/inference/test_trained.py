"""A loaded model takes values as they come, and says in a sentence what it does not take."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ae_lightning import UsageError, VariationalAutoEncoder, load
from ae_lightning.inference import TrainedModel, export
from helpers.interpreter import python


def test_it_is_the_model_of_the_checkpoint_to_the_bit(run: Path, digits: TrainedModel) -> None:
    model = VariationalAutoEncoder.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert (digits.code(x) == model.code(x).numpy()).all()
        assert (digits.spread(x) == model.encode(x).stddev.numpy()).all()
        assert (digits.reconstruct(x) == model(x).numpy()).all()
        assert (digits.decode(digits.code(x)) == model(x).numpy()).all()
        assert (digits.denoise(x, steps=3) == model(model(model(x))).numpy()).all()
    assert digits.model.held_to_prior
    assert digits.figures["elbo" if "elbo" in digits.figures else "val/elbo"] != 0
    assert digits.step > 0


FORMS: dict[str, Any] = {
    "bytes": lambda x: x[:, None],
    "channels last": lambda x: x[..., None],
    "no channel": lambda x: x,
    "floats": lambda x: (x / 255)[:, None],
    "float32": lambda x: (x / 255).astype(np.float32)[:, None],
    "a list": lambda x: (x / 255).tolist(),
    "a tensor": lambda x: torch.from_numpy(x)[:, None],
    "read-only": lambda x: np.broadcast_to(x[:, None], (len(x), 1, 8, 8)),
    "of another byte order": lambda x: (x / 255).astype(">f4")[:, None],
    "not contiguous": lambda x: np.asfortranarray(x[:, None])[::-1][::-1],
}


@pytest.mark.parametrize("form", FORMS)
def test_values_are_taken_in_any_form(digits: TrainedModel, form: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (3, 8, 8)).astype(np.uint8)
    codes, given = digits.code(x), FORMS[form](x)
    np.testing.assert_allclose(digits.code(given), codes, atol=1e-6)
    np.testing.assert_allclose(digits.code(given[1]), codes[1], atol=1e-5)
    assert digits.reconstruct(given[1]).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((7, 8)), "of shape (7, 8): the model takes (1, 8, 8), or several"),
        (np.zeros((2, 3, 8, 8)), "of shape (2, 3, 8, 8)"),
        (torch.zeros(()), "of shape ()"),
        (np.zeros((8, 8), np.int64), "holds int64: expected uint8"),
        (np.zeros((8, 8), complex), "holds complex128"),
        (np.full((8, 8), 1.5), "from 1.5 to 1.5: the model takes floats in [0, 1], or bytes"),
        (np.full((8, 8), np.nan), "not finite"),
        (np.array([["a"] * 8] * 8), "no array of numbers"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
    ],
)
def test_what_it_cannot_take_is_refused(digits: TrainedModel, x: Any, said: str) -> None:
    for use in (digits.code, digits.spread, digits.reconstruct):
        with pytest.raises(UsageError) as error:
            use(x)
        assert said in str(error.value)


def test_a_code_is_checked(digits: TrainedModel) -> None:
    with pytest.raises(UsageError, match="of shape \\(3,\\): expected \\(16,\\)"):
        digits.decode(np.zeros(3))
    with pytest.raises(UsageError, match="not finite"):
        digits.decode(np.full(16, np.inf))
    for wrong in ("abc", [[1.0], [1.0, 2.0]], None):
        with pytest.raises(UsageError, match="z is no array of numbers"):
            digits.decode(wrong)
    for wrong in (np.zeros(16, complex), torch.zeros(16, dtype=torch.complex128)):
        with pytest.raises(UsageError, match="z holds complex128: expected real numbers"):
            digits.decode(wrong)
    with pytest.raises(UsageError, match="steps is 0"):
        digits.denoise(np.zeros((8, 8)), steps=0)


def test_codes_are_taken_in_any_form(digits: TrainedModel) -> None:
    z = np.random.default_rng(0).normal(size=(3, 16))
    expected = digits.decode(z)
    for form in (z.tolist(), z[::-1].copy()[::-1], z.astype(">f8"), torch.from_numpy(z)):
        np.testing.assert_array_equal(digits.decode(form), expected)


def test_what_is_no_model_or_no_device_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a run nor a checkpoint"):
        load(tmp_path / "nowhere")
    for device in ("cdua", "cuda:99", "meta2", "meta"):
        with pytest.raises(UsageError, match=f"device is {device}"):
            load(run, device=device)


def test_a_service_waits_for_torch_and_little_else(
    run: Path, digits: TrainedModel, tmp_path: Path
) -> None:
    folder = export(digits, tmp_path / "model", to="safetensors")
    code = f"""
import sys
import ae_lightning
for path in {[str(run), str(folder)]!r}:
    ae_lightning.load(path).code([[0.0] * 8] * 8)
heavy = ("lightning", "torchvision", "torchmetrics", "matplotlib", "pandas", "huggingface_hub")
print([m for m in heavy if m in sys.modules])
"""
    assert python("-c", code).splitlines()[-1] == "[]"


def test_a_loaded_model_samples_as_the_command_does(
    run: Path, digits: TrainedModel, tmp_path: Path
):
    from ae_lightning.cli.main import main

    out = tmp_path / "samples.npy"
    assert main(["sample", str(run), "-n", "5", "--seed", "3", "--out", str(out)]) == 0
    assert np.array_equal(digits.sample(5, seed=3), np.load(out))
    assert not np.array_equal(digits.sample(5, seed=4), np.load(out))
    assert 0 <= digits.sample(5).min() <= digits.sample(5).max() <= 1
    with pytest.raises(UsageError, match=r"^n is 0: expected at least 1\.$"):
        digits.sample(0)


def test_codes_that_nothing_holds_are_sampled_by_the_density_that_is_kept(
    of_photographs: Path, photographs: Path, tmp_path: Path
) -> None:
    from ae_lightning.inference import sample

    none_kept = shutil.ignore_patterns("*.npz")  # by tests that share the run
    trained = load(shutil.copytree(of_photographs, tmp_path / "run", ignore=none_kept))
    with pytest.raises(UsageError, match="or the command sample, fits and keeps a density of them"):
        trained.sample()
    expected = sample(trained, n=4, seed=2)  # which keeps it
    assert np.array_equal(trained.sample(4, seed=2), expected)
