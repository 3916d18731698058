"""A preset takes residual networks for a folder of images, and MLPs for all other data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning import systems
from ae_lightning.cli import main as cli
from ae_lightning.cli.composition import compose, read
from ae_lightning.cli.presets import with_parts
from ae_lightning.nn import ResidualDecoder, ResidualEncoder
from ae_lightning.training.run_directory import states

DEEP = ("undercomplete", "denoising", "stochastic", "vae", "iwae")


def model_of(*configs: str, flags: str = "") -> dict:
    tree, _ = with_parts(compose(map(read, configs)), flags.split())
    return tree["model"]["init_args"]


def networks(*configs: str, flags: str = "") -> tuple[str, ...]:
    given = model_of(*configs, flags=flags)
    return tuple(given[n]["class_path"].rpartition(".")[2] for n in ("encoder", "decoder"))


RESIDUAL, MLPS = ("ResidualEncoder", "ResidualDecoder"), ("MLP", "MLP")


@pytest.mark.parametrize("system", DEEP)
@pytest.mark.parametrize("data", ["folder", "stream"])
def test_images_in_files_get_residual_networks_in_either_order(system, data) -> None:
    assert networks(system, data) == networks(data, system) == RESIDUAL


@pytest.mark.parametrize("data", ["manifold", "digits", "mnist", "cifar10", "sprites"])
def test_all_other_data_keep_the_presets_own(data) -> None:
    given = model_of("vae", data)
    assert networks("vae", data) == MLPS
    assert (given["latent"], given["likelihood"]["init_args"]["sigma"]) == (16, 0.3)


def test_the_spread_is_that_of_photographs_and_learned() -> None:
    given = model_of("vae", "folder")
    assert given["likelihood"]["init_args"] == {"sigma": 0.25, "learned": True}
    assert "latent" not in given


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--model.encoder.blocks=2", RESIDUAL),
        ("--model.encoder.spatial=false --model.latent=32", RESIDUAL),
        ("--model.decoder.activation=GELU", RESIDUAL),
        ("--model.encoder.widths=[64]", MLPS),
        ("--model.init_args.decoder.init_args.dropout=0.1", MLPS),
        ("--model.encoder=MLP", MLPS),
        ("--model.decoder MLP", MLPS),
        ("--model.encoder.class_path ConvEncoder", ("ConvEncoder", "MLP")),
    ],
)
def test_what_is_said_of_a_network_is_kept(flags, expected) -> None:
    assert networks("vae", "folder", flags=flags) == expected


@pytest.mark.parametrize("order", [("vae", "conv", "folder"), ("vae", "folder", "conv")])
def test_named_networks_are_kept(order) -> None:
    assert networks(*order) == ("ConvEncoder", "ConvDecoder")


@pytest.mark.parametrize("system", ["linear", "sparse", "contractive"])
def test_a_system_that_is_a_matter_of_its_layers_keeps_them(system) -> None:
    given = model_of(system, "folder")
    assert "Residual" not in str(given)


def test_a_likelihood_that_is_given_is_kept() -> None:
    given = model_of("vae", "folder", flags="--model.likelihood=Laplace")
    assert given["likelihood"]["class_path"].endswith("Laplace")


@pytest.mark.parametrize("data", ["mnist", "folder"])
def test_a_code_put_in_place_has_the_encoders_size_unless_its_own_is_given(data) -> None:
    assert "latent" not in model_of("vae", data, "resnet", flags="--model.encoder.spatial=true")
    put = {"class_path": "ae_lightning.nn.ResidualEncoder", "init_args": {"spatial": True}}
    tree = {"model": {"class_path": "VariationalAutoEncoder", "init_args": {"encoder": put}}}
    assert "latent" not in with_parts(tree, [])[0]["model"]["init_args"]
    tree["model"]["init_args"]["latent"] = 98
    assert with_parts(tree, [])[0]["model"]["init_args"]["latent"] == 98


@pytest.mark.parametrize(("side", "latent"), [(28, 4 * 7 * 7), (64, 4 * 64), (100, 4 * 7 * 7)])
def test_a_code_in_place_has_four_channels_unless_its_size_is_given(side, latent) -> None:
    make = lambda **given: systems.UndercompleteAutoEncoder(  # noqa: E731
        (3, side, side), encoder=ResidualEncoder(spatial=True), decoder=ResidualDecoder(), **given
    )
    assert make().latent == make().arguments["latent"] == latent
    assert make(latent=latent // 2).latent == latent // 2


@pytest.mark.filterwarnings("ignore")
def test_a_folder_trains_resumes_and_is_tested_to_the_bit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    Path("images").mkdir()
    for i in range(30):
        Image.fromarray(draw.integers(0, 256, (20, 14, 3), np.uint8)).save(f"images/{i}.png")
    Path("short.yaml").write_text(
        "trainer: {callbacks: {class_path: ae_lightning.callbacks.Report, init_args: {names: []}}}"
    )
    fit = "fit --config vae --config folder --config short.yaml --data.path images --data.fit pad"
    fit += " --data.resize [20,14] --data.batch_size 8 --data.num_workers 0"
    fit += " --model.lr_schedule Constant"
    assert cli.main([*fit.split(), "--trainer.max_epochs", "2", "--run", "whole"]) == 0
    more = ["--trainer.max_steps", "4", "--trainer.max_epochs", "2", "--run", "cut"]
    assert cli.main([*fit.split(), *more]) == 0
    on = ["fit", "--run", "cut", "--resume", "--trainer.max_steps", "-1"]
    assert cli.main(on) == 0
    whole, cut = (
        torch.load(states(Path(run))[0], weights_only=True)["state_dict"]
        for run in ("whole", "cut")
    )
    assert whole.keys() == cut.keys()
    assert all(whole[name].equal(cut[name]) for name in whole)
    assert cli.main(["test", "--run", "whole"]) == 0
