"""FID and KID: what torch-fidelity is asked, and what its weights may be."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_fidelity

from ae_lightning.core.errors import UsageError
from ae_lightning.inference.densities import Mixture
from ae_lightning.inference.density_files import file_of, header_of, write_density
from ae_lightning.inference.measures.figures import Settings
from ae_lightning.inference.measures.realism import realism
from ae_lightning.posteriors import DiagonalGaussian
from ae_lightning.regularizers.divergences import Rate
from helpers.linear import linear
from helpers.measured import by_name, inputs_of, trained_of
from helpers.models import model_of

N = 6


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What torch-fidelity is asked, in place of an answer, which takes it minutes."""
    found: list[dict[str, Any]] = []

    def calculate_metrics(**options: Any) -> dict[str, float]:
        for name in ("input1", "input2"):
            options[name] = torch.stack(list(options[name]))
        options["weights"] = torch.load(options["feature_extractor_weights_path"])
        found.append(options)
        kid = "kernel_inception_distance"
        return {"frechet_inception_distance": 3.0, f"{kid}_mean": 0.5, f"{kid}_std": 0.1}

    monkeypatch.setattr(torch_fidelity, "calculate_metrics", calculate_metrics)
    return found


@pytest.fixture
def weights(tmp_path: Path) -> Settings:
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.ones(1)}, tmp_path / "inception.pth")
    return Settings(weights=str(tmp_path / "inception.pth"), seed=4)


def test_reconstructions_and_samples_are_held_against_the_examples(asked, weights):
    vae = model_of(
        posterior=DiagonalGaussian(), regularizers={"rate": Rate()}, value_range=(0.0, 1.0)
    ).float()
    x = torch.randint(0, 256, (N, 1, 4, 4), dtype=torch.uint8)
    found = by_name(realism(trained_of(vae), inputs_of(x), weights))
    assert {name: figure.value for name, figure in found.items()} == {
        "fid_reconstructions": 3.0,
        "kid_reconstructions": 0.5,
        "fid_samples": 3.0,
        "kid_samples": 0.5,
    }
    assert found["kid_samples"].error == 0.1
    colours = x.expand(N, 3, 4, 4)
    r = (vae.reconstruct(x / 255).clamp(0, 1) * 255).round().byte()
    for each in asked:
        assert torch.equal(each["input2"], colours)
        assert each["fid"]
        assert each["kid"]
        assert each["kid_subset_size"] == N
        assert list(each["weights"]) == ["Conv2d_1a_3x3.conv.weight"]
    assert torch.equal(asked[0]["input1"], r.expand(N, 3, 4, 4))
    torch.manual_seed(4)
    samples = (vae.sample(N).clamp(0, 1) * 255).round().int()
    assert (asked[1]["input1"] - samples).abs().max() <= 1


def test_samples_of_other_models_are_of_the_density_that_is_kept(asked, weights, tmp_path):
    model = model_of(value_range=(0.0, 1.0)).float()
    trained = trained_of(model)
    trained.file = tmp_path / "a.ckpt"
    trained.file.write_bytes(b"a checkpoint")
    density = Mixture.fitted(torch.randn(50, model.latent) + 3)
    write_density(file_of(trained, "mixture"), density, header_of(trained, "mixture"))
    found = by_name(realism(trained, inputs_of(torch.rand(N, 1, 4, 4)), weights))
    assert found["fid_samples"].note == f"{N} images a side, by mixture"
    assert not found["fid_reconstructions"].note.endswith("by mixture")
    expected = (trained.sample(N, seed=weights.seed).clip(0, 1) * 255).round()
    assert np.abs(asked[1]["input1"].numpy() - expected).max() <= 1


def test_codes_that_nothing_holds_to_the_prior_have_no_samples(asked, weights):
    model = model_of(value_range=(0.0, 1.0)).float()
    found = realism(trained_of(model), inputs_of(torch.rand(3, 1, 4, 4)), weights)
    assert [figure.name for figure in found] == ["fid_reconstructions", "kid_reconstructions"]


class Payload:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("held", [Payload(), {"Conv2d_1a_3x3.conv.weight": Payload()}])
def test_weights_are_not_unpickled(held, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(held, "weights.pth")
    model = trained_of(model_of(value_range=(0.0, 1.0)).float())
    x = torch.rand(3, 1, 4, 4)
    with pytest.raises(UsageError, match=r"weights\.pth holds no weights, or more than weights"):
        realism(model, inputs_of(x), Settings(weights="weights.pth"))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: None, "No such file"),
        (lambda file: file.write_bytes(b"PK"), "holds no weights"),
        (lambda file: torch.save({"a": torch.ones(1)}, file), "Inception"),
        (lambda file: os.mkfifo(file), "not a regular file"),
    ],
)
def test_a_file_of_other_things_is_named(make, said, tmp_path):
    make(file := tmp_path / "weights.pth")
    model = trained_of(model_of(value_range=(0.0, 1.0)).float())
    with pytest.raises(UsageError, match=said):
        realism(model, inputs_of(torch.rand(3, 1, 4, 4)), Settings(weights=str(file)))


def test_vectors_and_missing_weights_have_no_such_figures():
    x = torch.rand(3, 1, 4, 4)
    with pytest.raises(UsageError, match="need the weights"):
        realism(trained_of(model_of().float()), inputs_of(x))
    vectors = trained_of(linear(torch.eye(3), torch.eye(3)))
    with pytest.raises(UsageError, match="of images, not of data of shape"):
        realism(vectors, inputs_of(torch.rand(3, 3)), Settings(weights="a"))
