"""Samples: by the prior, a density of the codes, or a chain; and what is written of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from ae_lightning.cli.main import main
from ae_lightning.datamodules import MNIST
from ae_lightning.inference import TrainedModel, load, sample
from ae_lightning.inference.chains import chain_of
from ae_lightning.inference.inputs import open_inputs, thinned
from ae_lightning.regularizers.mmd import InverseMultiquadratic, within
from helpers.attack import one_sentence


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mnist_run(folder: Path, steps: int, seed: int) -> Path:
    """An undercomplete autoencoder of MNIST, a few hundred steps old."""
    run = folder / str(seed)
    fit = ["fit", "--config", "undercomplete", "--config", "mnist", "--data.batch_size", "256"]
    fit += ["--model.latent", "16", "--seed_everything", str(seed)]
    fit += ["--trainer.max_steps", str(steps), "--trainer.limit_val_batches", "1"]
    assert main([*fit, "--trainer.callbacks", "[]", "--run", str(run)]) == 0
    return run


@pytest.mark.slow
def test_samples_by_the_density_of_codes_are_closer_to_test_digits_than_draws_of_a_normal(
    ae_data: Path, tmp_path: Path
) -> None:
    """By MMD² on the codes of another model, and by the confidence of a classifier on these."""
    run, other = mnist_run(tmp_path, 300, seed=0), load(mnist_run(tmp_path, 150, seed=1))
    data, n = MNIST(root=str(ae_data)), 1000
    known, unseen = data.pairs("train", range(4000)), data.pairs("test", range(2 * n))
    classifier = LogisticRegression(max_iter=200).fit(other.code(known.x), known.y.numpy())
    unit, k = other.code(known.x).std(0), InverseMultiquadratic()
    v = torch.from_numpy(other.code(unseen.x[:n]) / unit)

    def distance_and_confidence(x: np.ndarray) -> tuple[float, float]:
        z = other.code(x)
        u = torch.from_numpy(z / unit)
        squared = within(k(u, u)) + within(k(v, v)) - 2 * k(u, v).mean()
        return float(squared), float(classifier.predict_proba(z).max(1).mean())

    normal = load(run).decode(np.random.default_rng(0).normal(size=(n, 16))).clip(0, 1)
    far, doubtful = distance_and_confidence(normal)
    near, confident = distance_and_confidence(sample(run, n=n))
    zero, real = distance_and_confidence(unseen.x[n:].numpy())
    assert abs(zero) < 0.002
    assert near < far / 2
    assert confident - doubtful > 0.1
    assert real - confident < 0.05


def test_a_model_held_to_its_prior_is_sampled_by_it(run: Path, digits: TrainedModel) -> None:
    x = sample(run, n=9, seed=3, batch_size=4)
    assert x.shape == (9, 1, 8, 8)
    torch.manual_seed(3)
    expected = digits.model.sample(9).clamp(0, 1).numpy()
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert np.abs(sample(digits, n=9, seed=4) - x).max() > 0.1
    assert not list(run.rglob("*.npz"))  # nothing was fitted


def test_the_command_writes_each_sample_and_a_grid(
    of_photographs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["sample", str(of_photographs), "-n", "5", "--seed", "2", "--out"]
    assert main([*args, "s"]) == 0
    assert "s: 5 samples by mixture, and grid.png" in capsys.readouterr().out
    assert sorted(os.listdir("s")) == [*(f"0000{i}.png" for i in range(5)), "grid.png"]
    x = sample(of_photographs, n=5, seed=2)
    for i, each in enumerate(x):
        with Image.open(f"s/0000{i}.png") as image:
            found = np.asarray(image).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(found, each, atol=0.51 / 255)
    assert main([*args, "s.npy"]) == 0
    np.testing.assert_allclose(np.load("s.npy"), x, atol=1e-6)
    assert main([*args, "s"]) == 2
    assert "s exists" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("by", ["walkback", "langevin"])
def test_chains_of_a_denoising_model_stay_in_the_range_of_the_data(
    by: str, of_photographs: Path
) -> None:
    x = sample(of_photographs, n=6, by=by, steps=3, batch_size=4)
    assert x.shape == (6, 3, 8, 8)
    assert 0 <= x.min() < x.max() <= 1
    again = sample(of_photographs, n=6, by=by, steps=3, batch_size=4)
    np.testing.assert_allclose(x, again, atol=1e-5)
    assert np.abs(x - sample(of_photographs, n=6, by=by, steps=3, seed=1)).max() > 0.01
    assert len(np.unique(x.reshape(6, -1), axis=0)) == 6


def test_a_chain_knows_the_error_of_its_denoiser(of_photographs: Path) -> None:
    """The best σ of p(x|x̃), which a model of fixed σ leaves open."""
    trained = load(of_photographs)
    chain = chain_of(trained)
    assert chain.corruption.sigma == 0.3  # type: ignore[union-attr]
    [batch] = open_inputs(trained, split="train").batches(corrupted=True)
    error = batch.pair.x - trained.model.reconstruct(batch.pair.x_tilde).clamp(0, 1)
    assert chain.error == pytest.approx(float(error.square().mean().sqrt()), rel=1e-4)
    assert float(chain.reverse(batch.pair.x).stddev.mean()) == pytest.approx(chain.error)


def test_a_thinned_folder_keeps_all_classes_and_names(
    of_photographs: Path, photographs: Path
) -> None:
    inputs = open_inputs(load(of_photographs), [str(photographs)])
    few = thinned(inputs, 6)
    names = [name for batch in inputs.batches() for name in batch.names]
    [batch] = few.batches()
    assert batch.names == names[::4]
    assert set(batch.labels) == {"cats", "dogs"}
    assert thinned(inputs, 24) is inputs


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-n", "0"], "n is 0: expected at least 1"),
        (["-n", "many"], "many"),
        (["--by", "mixtur"], "mixtur"),
        (["--by", "langevin"], "needs a model that was trained to denoise"),
        (["--steps", "3"], "only a chain has steps, walkback or langevin"),
        (["nowhere"], "there are no data nowhere"),
        (["digits", "--by", "prior"], "digits is given, and draws of the prior read no data"),
        (["--data.bits", "8"], "data.bits is given, and draws of the prior read no data"),
        (
            ["--data.bits", "8", "--by", "mixture"],
            "data.bits says how image files are read: Digits",
        ),
        (["--seed", str(2**64)], f"seed is {2**64}: expected at most {2**64 - 1}"),
    ],
)
def test_what_cannot_be_sampled_is_one_sentence(
    args: list[str], said: str, run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by = [] if "--by" in args or "nowhere" not in args else ["--by", "mixture"]
    assert main(["sample", str(run), *args, *by, "--out", "s"]) == 2
    assert said in one_sentence(capsys.readouterr().err)
    assert os.listdir() == []


def test_a_prior_that_holds_nothing_is_not_drawn_from(
    of_photographs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(of_photographs), "--by", "prior", "--out", "s"]) == 2
    said = one_sentence(capsys.readouterr().err)
    assert "expected one of mixture, flow, two_stage, walkback, langevin" in said
