"""A run's page."""

import re
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from markupsafe import escape
from PIL import Image

from ae_lightning import systems
from ae_lightning.callbacks import PictureCallback, Report, write_report
from ae_lightning.callbacks.drawing.theme import new_figure
from ae_lightning.callbacks.report import run_report
from ae_lightning.callbacks.report.about import commit_of
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.callbacks.report.run_page import newest_pictures
from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import Digits, Manifold
from ae_lightning.nn import MLP
from helpers.reports import DRAWN, images, recording_trainer, sections, small_model


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


def test_a_page_says_how_the_run_was_made_and_how_far_it_got(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/ae-lightning", "fit", "--config", "my vae.yaml"])
    (git := tmp_path / ".git").mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'ab' * 20} refs/heads/main\n")
    monkeypatch.chdir(tmp_path)
    history = {"val/psnr": [(4, 9.0), (8, 12.5), (12, 11.0)], "val/active_units": [(8, 3.0)]}
    history |= {f"val/rate_{k}": [(8, 1.0)] for k in range(12)}
    config = "seed_everything: 17\ncheckpoints: {monitor: val/psnr}\n"
    page = write_report(tmp_path / "my-run", "x", config, history).read_text()
    said = dict(re.findall(r"<dt>([\w ]+)</dt><dd>(.*)</dd>", page.partition('"about"')[2]))
    assert said["name"] == "my-run"
    assert said["command"] == "ae-lightning fit --config &#39;my vae.yaml&#39;"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d \w.*", said["date"])
    assert said["seed"] == "17"
    assert f"torch {torch.__version__.partition('+')[0]}" in said["versions"]
    assert said["commit"].split(", ")[0] == "ab" * 5
    assert said["best step"] == "8 (val/psnr 12.5)"
    assert "<dd>3 <small>of 12</small></dd>" in page
    named = re.findall(r"<td>(val/rate_\d+)</td>", page)
    assert named == [f"val/rate_{k}" for k in range(12)]  # 9 before 10


def test_what_is_not_known_of_a_run_is_left_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    for config in (None, "[1, 2]", "a: [", "checkpoints: 3"):
        page = write_report(tmp_path, "x", config, {}).read_text()
        for name in ("command", "seed", "best step"):
            assert f"<dt>{name}</dt>" not in page


@pytest.mark.parametrize("head", ["ref: refs/heads/gone", "ref: ../../secret", "rubbish", ""])
def test_a_checkout_that_cannot_be_read_has_no_commit(head, tmp_path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "secret").write_text("no commit")
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert commit_of(tmp_path / "below") is None


def test_the_commit_is_that_of_the_branch_the_worktree_or_of_no_branch(tmp_path) -> None:
    main, other = "12" * 20, "cd" * 20
    (tmp_path / ".git" / "refs" / "heads").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "refs" / "heads" / "main").write_text(f"{main}\n")
    assert commit_of(tmp_path / "a" / "b") == main
    (apart := tmp_path / ".git" / "worktrees" / "w").mkdir(parents=True)
    (apart / "HEAD").write_text("ref: refs/heads/main\n")
    (apart / "commondir").write_text("../..\n")
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {apart}\n")
    assert commit_of(tmp_path / "w") == main
    (tmp_path / ".git" / "HEAD").write_text(f"{other}\n")
    assert commit_of(tmp_path) == other


def test_a_picture_that_does_not_suit_says_why_in_its_place(run, tmp_path) -> None:
    trainer = recording_trainer(tmp_path, 1, Report())
    trainer.fit(small_model(), datamodule=Digits(batch_size=400))
    drawn = sections((tmp_path / "index.html").read_text())
    assert list(drawn) == list(known_pictures())
    reason = "latent_manifold decodes the plane of a code of size 2, and this one is of size 3."
    assert f"<p>Not drawn: {reason}</p>" in drawn["latent_manifold"]
    assert "<p>Not drawn: this code is not sparse" in drawn["l0_error"]
    assert "Not drawn" not in drawn["codes"]


def test_what_stops_a_picture_is_said_without_the_words_of_an_exception(tmp_path) -> None:
    class Broken(PictureCallback):
        name, caption = "broken", "How to read it."

        def draw(self, model, pair):
            raise ValueError("zip() argument 2 is shorter than argument 1")

    class Choosy(Broken):
        name = "choosy"

        def draw(self, model, pair):
            raise UsageError("choosy needs more examples than there are.")

    pictures = Broken(), Choosy()
    trainer = recording_trainer(tmp_path, 1, Report(names=["filters"]), *pictures)
    with pytest.warns(UserWarning, match="skipped"):
        trainer.fit(small_model(), datamodule=Digits(batch_size=400))
    page = (tmp_path / "index.html").read_text()
    assert "zip()" not in page
    said = "it could not be drawn, by a fault of the software (a ValueError)."
    assert f"<p>Not drawn: {said}</p>" in sections(page)["broken"]
    said = "choosy needs more examples than there are."
    assert f"<p>Not drawn: {said}</p>" in sections(page)["choosy"]


def test_pictures_are_as_wide_as_the_page_and_larger_on_a_click(run) -> None:
    page = (run / "index.html").read_text()
    assert "min-width" not in page
    for name, section in sections(page).items():
        (box,) = re.findall(r'<label class="picture">(.*?)</label>', section, re.DOTALL)
        assert '<input type="checkbox" aria-label="enlarge ' in box, name
        (width,) = re.findall(r"--width:(\d+)px", box)
        assert int(width) == images(page)[name].width


def test_captions_speak_of_the_kind_of_data_and_own_pictures_have_theirs(tmp_path) -> None:
    class Own(PictureCallback):
        name, caption = "own", "Read it so."

        def draw(self, model, pair):
            return new_figure(3, 3)

    data = Manifold(size=200)
    model = systems.VariationalAutoEncoder((2,), 2, MLP([8]), MLP([8]), value_range=None)
    recording_trainer(tmp_path, 1, Report(names=["reconstructions"]), Own()).fit(model, data)
    drawn = sections((tmp_path / "index.html").read_text())
    assert "strokes" not in drawn["reconstructions"]
    assert "brings corrupted points back" in drawn["reconstructions"]
    assert "Read it so." in drawn["own"]


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
def test_a_run_that_a_signal_ends_has_its_page_of_what_is_quick(
    signal, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(run_report, "DRAW_FOR", 20.0)  # on a busy machine, two draw little
    start = time.monotonic()
    interrupt(tmp_path, signal, after=4)
    page = (tmp_path / "index.html").read_text()
    assert set(images(page)) >= {"curves", "reconstructions", "latent_traversal"}
    assert not any(known_pictures()[name].slow for name in images(page))
    assert "the run was interrupted, and did not wait for it" in sections(page)["codes"]
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
