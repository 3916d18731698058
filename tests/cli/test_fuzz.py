"""Some hundreds of bad configs, drawn by a seed: each is one sentence that names what is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest
from lightning.pytorch import Trainer

import ae_lightning.datamodules
from ae_lightning import VariationalAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.nn import MLP
from helpers.fuzz.arguments import contradictions, wrong_names, wrong_types, wrong_values
from helpers.fuzz.files import wrong_commands, wrong_configs, wrong_data
from helpers.fuzz.spelling import Case, speller

CASES = 240
# What Python says to programmers, and no sentence for a user.
RAW = re.compile(
    r"has no attribute|not supported between|NoneType|__init__|__new__|Traceback|not iterable"
    r"|keyword argument|functools|object is not|expected str, bytes|unexpected|\n",
)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with images, and with a run on them, in which to go wrong."""
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.random.default_rng(0).integers(0, 255, (40, 8, 8)).astype(np.uint8))
    data = ae_lightning.datamodules.NumpyFile("images.npy")
    model = VariationalAutoEncoder(data.shape, 4, encoder=MLP([8]), decoder=MLP([8]))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_steps=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(model, data)
    trainer.save_checkpoint("taken/checkpoints/best.ckpt")
    Path("taken/config.yaml").write_text("{}")
    return tmp_path


def complaint(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> str | None:
    """What is wrong with how a command went wrong, or None."""
    before = {p for p in Path().rglob("*") if "__pycache__" not in p.parts}
    code = main(args)
    err = capsys.readouterr().err.splitlines()
    left = {p for p in Path().rglob("*") if "__pycache__" not in p.parts} - before
    sentences = [line.removeprefix("ae-lightning: ") for line in err if line[:9] != "warning: "]
    if code != 2 or len(sentences) != 1:
        return f"exit code {code}, and {err}"
    if left:
        return f"left behind: {left}"
    [sentence] = sentences
    if said not in sentence or RAW.search(sentence) or not 10 < len(sentence) < 600:
        return f"{sentence!r} does not say {said!r} as one sentence"
    return None


def all_cases(random: Random) -> list[Case]:
    """Every case, made at once, since making them writes files."""
    kinds = [wrong_names, wrong_types, wrong_values, wrong_configs, wrong_data, contradictions]
    spell = speller(random)
    return [case for kind in [*kinds, wrong_commands] for case in kind(random, spell)]


def test_some_hundred_bad_configs_are_one_sentence_each(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of them; `make soak` tries all, spelt by the seed that it names here."""
    seed = os.environ.get("SOAK_SEED")
    random = Random(int(seed or 0))
    cases = all_cases(random)
    assert len(cases) > CASES
    chosen = cases if seed else random.sample(cases, CASES)
    wrong = {" ".join(args): complaint(args, said, capsys) for args, said in chosen}
    found = [f"{args}\n    {what}" for args, what in wrong.items() if what is not None]
    assert not found, f"{len(found)} of {len(chosen)}:\n" + "\n".join(found)
