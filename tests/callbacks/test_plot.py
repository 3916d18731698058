"""The plot command: the pictures of a checkpoint, with nothing given again."""

import pytest
from PIL import Image

from ae_lightning.callbacks import Codes
from ae_lightning.cli import main as cli
from helpers.reports import DRAWN, images, sections


def plot(*args: object) -> int:
    return cli.main(["plot", *map(str, args)])


def test_plot_draws_all_that_suit_from_a_bare_checkpoint(run, tmp_path, capsys) -> None:
    bare = tmp_path / "bare.ckpt"
    bare.write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    assert plot(bare, "--out", tmp_path / "out") == 0
    page = (tmp_path / "out" / "index.html").read_text()
    # No metrics lie beside a bare checkpoint, so that there are no curves.
    assert set(images(page)) >= (DRAWN - {"curves"}) | {"latent_traversal", "interpolation"}
    assert "curves" not in images(page)
    assert "class_path: ae_lightning.systems.VariationalAutoEncoder" in page
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out" / "index.html")


def test_plot_draws_what_is_named_as_training_drew_it(run, tmp_path) -> None:
    names = ["reconstructions", "curves"]
    assert plot(run, *names, "--out", tmp_path) == 0
    for name in names:
        (drawn,) = (tmp_path / "pictures" / name).iterdir()
        assert drawn.read_bytes() == (run / "pictures" / name / "6.png").read_bytes()


def test_plot_draws_other_data_if_told(run, tmp_path) -> None:
    noisy = tmp_path / "noisy.yaml"
    noisy.write_text(
        "data:\n  class_path: ae_lightning.datamodules.Digits\n  init_args:\n    corruption:\n"
        "      class_path: ae_lightning.corruptions.Masking\n      init_args: {p: 0.5}\n"
    )
    assert plot(run, "reconstructions", "--data", noisy, "--out", tmp_path) == 0
    (drawn,) = (tmp_path / "pictures" / "reconstructions").iterdir()
    before = Image.open(run / "pictures" / "reconstructions" / "6.png")
    assert Image.open(drawn).height > before.height  # a row of corrupted digits more


def test_plot_draws_what_is_named_with_the_arguments_given(run, tmp_path, capsys) -> None:
    film = tmp_path / "pictures" / "latent_traversal" / "6.gif"
    assert plot(run, "latent_traversal:animated=true:dims=[1]:start=null", "--out", tmp_path) == 0
    assert str(film) in capsys.readouterr().out
    assert 'src="data:image/gif;base64,' in (tmp_path / "index.html").read_text()
    one_row = Image.open(film.with_suffix(".png")).height
    assert plot(run, "latent_traversal:rows=2", "--out", tmp_path) == 0
    assert not film.exists()
    assert Image.open(film.with_suffix(".png")).height > one_row


def test_plot_leaves_out_a_picture_that_fails_and_says_why(
    run, tmp_path, monkeypatch, capsys
) -> None:
    def fails(self, model, pair):
        raise RuntimeError("no ink")

    monkeypatch.setattr(Codes, "draw", fails)
    assert plot(run, "--out", tmp_path) == 0
    assert capsys.readouterr().err == "the picture codes is skipped: no ink\n"
    page = (tmp_path / "index.html").read_text()
    assert "it could not be drawn, by a fault of the software" in sections(page)["codes"]
    drawn = set(images(page))
    assert drawn >= DRAWN - {"codes"}
    assert "codes" not in drawn
    assert plot(run, "codes", "--out", tmp_path) == 1
    assert "no ink" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["latent_traversal:animate=true"], "takes no animate: did you mean animated?"),
        (["latent_traversal:dims=[0,3]"], "there is no dimension 3: the code has 0 to 2."),
        (["latent_traversal:start=500"], "start is 500: expected an example from 0 to 499."),
        (["latent_traversal:rows=many"], "rows of latent_traversal is many: no value for it."),
        (["latent_traversal:dims=[0"], "dims of latent_traversal is [0: no value for it."),
        (["score_field"], "give its data GaussianNoise, such as GaussianNoise(sigma=0.1)."),
        (["codez"], "there is no picture codez: did you mean codes?"),
        (["codes", "latent_manifold"], "a code of size 2, and this one is of size 3"),
        (["l0_error"], "this code is not sparse"),
        (["--data", "vae"], "vae names no data, as mnist does."),
        (["--dta", "vae"], "plot: --dta is not an option: did you mean --data?"),
    ],
)
def test_a_wrong_use_of_plot_is_one_sentence(run, tmp_path, args, said, capsys) -> None:
    assert plot(run, *args, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.endswith(f"{said}\n") or said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_plot_without_a_checkpoint_says_so(tmp_path, capsys) -> None:
    assert plot() == 2
    assert plot(tmp_path / "no.ckpt") == 2
    assert "there is no checkpoint" in capsys.readouterr().err
