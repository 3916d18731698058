"""What an object shows of itself is short, whatever it holds, and safe, whatever it is named."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ae_lightning import VariationalAutoEncoder
from ae_lightning.core.showing import MOST_OF_FACT, shown
from ae_lightning.core.types import Pair
from ae_lightning.inference.codes import Codes
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.regularizers import L2
from ae_lightning.schedules import Linear
from ae_lightning.theory.proof import Check, Claim, Picture, Proof

MOST = 5000  # characters, a screen of HTML
STRANGE = '<script>alert("a")</script>\x1b[31m&amp;\n\u202e'


class Strange(Claim):
    title = statement = formula = source = wrong_version = caption = STRANGE

    def run(self, seed: int) -> Any:
        yield from ()


def model() -> VariationalAutoEncoder:
    penalties: Any = {f"penalty_{k}": L2(Linear(1.0, epochs=3)) for k in range(100)}
    return VariationalAutoEncoder((1, 8, 8), latent=2, regularizers=penalties)


def pair() -> Pair:
    x = torch.rand(500, 1, 8, 8)
    return Pair(x, x, torch.zeros(500), torch.arange(500))


def trained() -> TrainedModel:
    figures = {f"val/{STRANGE}{k}": k / 3 for k in range(1000)}
    return TrainedModel(model(), Path(STRANGE), None, figures, 1, [STRANGE] * 1000)


def proof() -> Proof:
    check = Check(STRANGE, 0.1, {STRANGE: 0.3}, at_most=0.2)
    return Proof(Strange(), [check] * 30, [Picture(b"0" * 100_000, STRANGE)], "", 1.0)


def codes() -> Codes:
    return Codes([STRANGE] * 10_000, [STRANGE] * 10_000, np.zeros((10_000, 3), np.float32), None)


EVERY = {f.__name__: f for f in (model, pair, trained, proof, codes)}
EVERY |= {"forward pass": lambda: model().propagate(pair())}
EVERY |= {"strange type": lambda: shown(type(STRANGE * 100, (), {"facts": lambda self: {}}))()}


class Tags(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text = set[str](), ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", EVERY)
def test_it_is_short_and_shows_names_as_they_are(name: str) -> None:
    thing = EVERY[name]()
    said, page = repr(thing), Tags(thing._repr_html_())
    assert len(said) < MOST
    assert len(thing._repr_html_()) < 2 * MOST
    assert all(line.isprintable() for line in said.split("\n"))
    assert page.text.isprintable()
    assert page.tags <= {"table", "caption", "b", "tr", "th", "td"}


def test_a_picture_of_a_proof_is_shown_and_not_printed() -> None:
    (picture,) = proof().pictures
    assert len(repr(picture)) < MOST_OF_FACT
    assert picture._repr_png_() == picture.png


def test_a_model_says_how_it_was_made() -> None:
    lines = repr(VariationalAutoEncoder((1, 8, 8), latent=2)).splitlines()
    assert lines[0] == "VariationalAutoEncoder"
    assert "  decoder: MLP(widths=[256, 512])" in lines
    assert "  regularizers.rate: Rate()" in lines


def test_a_proof_says_what_was_measured_beside_its_bound() -> None:
    shown = repr(Proof(Strange(), [Check("angle", 0.02, {"other": 9.4}, at_most=0.1)], [], "", 1.0))
    assert "  angle: 0.02 ≤ 0.1 holds (wrong: other: 9.4)" in shown.splitlines()
    assert "  verdict: proved" in shown.splitlines()
