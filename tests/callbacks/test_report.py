"""A run's page, and the plot command: the pictures of a checkpoint, with nothing given again."""

import base64
import io
import re
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from markupsafe import escape
from PIL import Image

from ae_lightning import systems
from ae_lightning.callbacks import Codes, PictureCallback, Report, write_report
from ae_lightning.callbacks.report import run_report
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.callbacks.report.run_page import newest_pictures
from ae_lightning.cli import main as cli
from ae_lightning.datamodules import Digits
from ae_lightning.nn import MLP
from ae_lightning.training.metrics_csv import MetricsFile
from helpers.training import quiet_trainer

DRAWN = {"curves", "reconstructions", "prior_samples", "codes", "filters", "kl_per_dimension"}


def small_model() -> systems.VariationalAutoEncoder:
    return systems.VariationalAutoEncoder((1, 8, 8), 3, MLP([16]), MLP([16]))


def recording_trainer(directory: Path, epochs: int, *callbacks: Callback) -> Trainer:
    options = {"max_epochs": epochs, "logger": MetricsFile(directory), "log_every_n_steps": 2}
    return quiet_trainer(directory, callbacks=list(callbacks), **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with a page, and a checkpoint."""
    directory = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = small_model()
    report = Report(names=sorted(DRAWN - {"codes"}))
    trainer = recording_trainer(directory, 2, report, Codes(every_n_epochs=1, items=30))
    (directory / "config.yaml").write_text("model: <small & plain>\n")
    trainer.fit(model, datamodule=Digits(batch_size=400))
    trainer.save_checkpoint(directory / "checkpoints" / "best.ckpt")
    return directory


def images(page: str) -> dict[str, Image.Image]:
    """The pictures in a page, by their section."""
    found = {}
    for section in page.split("<section ")[1:]:
        name = re.match('id="(.*?)"', section).group(1)
        data = re.search(r'src="data:image/png;base64,(.*?)"', section).group(1)
        found[name] = Image.open(io.BytesIO(base64.b64decode(data)))
    return found


def test_fit_ends_by_writing_a_page_of_the_newest_pictures(run) -> None:
    page = (run / "index.html").read_text()
    assert set(images(page)) == DRAWN
    assert list(images(page)) == [n for n in known_pictures() if n in DRAWN]
    assert sorted(p.name for p in (run / "pictures" / "codes").iterdir()) == ["3.png", "6.png"]
    newest = Image.open(run / "pictures" / "codes" / "6.png").convert("RGB")
    assert images(page)["codes"].convert("RGB").tobytes() == newest.tobytes()


def test_a_page_holds_all_of_itself_and_says_how_to_read_it(run) -> None:
    page = (run / "index.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    for name in DRAWN:
        assert escape(known_pictures()[name].caption) in page
    assert "<title>VariationalAutoEncoder on Digits</title>" in page
    assert "model: &lt;small &amp; plain&gt;" in page
    assert "after 6 steps" in page
    assert re.search(r"<dt>ELBO</dt><dd>[−\d]", page)
    assert "<td>train/rate</td>" in page
    assert len(page) < 1_000_000


def test_a_page_of_nothing_is_a_page(tmp_path) -> None:
    page = write_report(tmp_path, "A & B").read_text()
    assert "<h1>A &amp; B</h1>" in page
    assert images(page) == {}


def test_whatever_comes_from_a_file_is_escaped(tmp_path) -> None:
    wrong = '<b>"&'
    (folder := tmp_path / "pictures" / wrong).mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(folder / "7.png")
    page = write_report(tmp_path, wrong, wrong, {wrong: [(1, 2.0)]}).read_text()
    body = page.partition("<body>")[2]
    assert "<b>" not in page
    assert body.count("&lt;b&gt;") >= 6  # title, config, metric; and id, heading and alt


def test_the_newest_picture_is_the_one_written_last(tmp_path) -> None:
    for step in (900, 5):  # an earlier, longer run lay in the same directory
        file = tmp_path / "pictures" / "codes" / f"{step}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    import os

    os.utime(tmp_path / "pictures" / "codes" / "900.png", (1, 1))
    assert newest_pictures(tmp_path) == {"codes": 5}


def test_a_picture_of_ones_own_has_its_place_on_the_page(tmp_path) -> None:
    class Own(PictureCallback):
        name = "own"

        def draw(self, model, pair): ...

    file = tmp_path / "pictures" / "own" / "7.png"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(file)
    assert set(images(write_report(tmp_path, "x").read_text())) == {"own"}


class Interrupting(Callback):
    """End training by an exception after some steps."""

    def __init__(self, exception: BaseException, after: int) -> None:
        self.exception, self.after = exception, after

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.global_step == self.after:
            raise self.exception


def interrupt(directory: Path, exception: BaseException, after: int) -> None:
    model = small_model()
    trainer = recording_trainer(directory, 3, Report(), Interrupting(exception, after))
    with pytest.raises(type(exception) if isinstance(exception, Exception) else SystemExit):
        trainer.fit(model, datamodule=Digits(batch_size=400))


@pytest.mark.parametrize("signal", [KeyboardInterrupt(), SIGTERMException(), SystemExit(143)])
def test_a_run_that_a_signal_ends_has_its_page_of_what_is_quick(signal, tmp_path) -> None:
    start = time.monotonic()
    interrupt(tmp_path, signal, after=4)
    page = (tmp_path / "index.html").read_text()
    assert set(images(page)) >= {"curves", "reconstructions", "latent_traversal"}
    assert not any(known_pictures()[name].slow for name in images(page))
    assert "after 4 steps" in page
    assert time.monotonic() - start < 30


def test_an_interrupted_run_draws_no_longer_than_it_has_patience(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(run_report, "DRAW_FOR", 0.0)
    interrupt(tmp_path, KeyboardInterrupt(), after=4)
    assert len(images((tmp_path / "index.html").read_text())) <= 1


def test_an_error_leaves_no_page(tmp_path) -> None:
    interrupt(tmp_path, ZeroDivisionError(), after=4)
    assert not (tmp_path / "index.html").exists()


# -------------------------------------------------------------------------- the command


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
    drawn = set(images((tmp_path / "index.html").read_text()))
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
        (["codes", "latent_manifold"], "a code of size 2, and this is 3"),
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
