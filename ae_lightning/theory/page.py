"""One self-contained page of proofs, to be read without the code."""

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from zlib import crc32

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from ae_lightning.callbacks.report.rendering import fill
from ae_lightning.core.files import path_of, write_text
from ae_lightning.core.showing import number
from ae_lightning.theory.proof import Proof
from ae_lightning.training.run_directory import PAGE

TITLE = "What autoencoders learn, proved by experiment"


def write_page(proofs: Sequence[Proof], folder: Path, seed: int) -> Path:
    """Write index.html into a folder, which is made if need be, and return its path."""
    path = path_of(folder, "folder") / PAGE
    write_text(path, page(proofs, seed))
    return path


def page(proofs: Sequence[Proof], seed: int) -> str:
    """The page as HTML, with style, formulas and pictures inline."""
    content: dict[str, Any] = {"title": TITLE, "proofs": proofs, "seed": seed}
    content |= {"formula": formula, "number": number, "words": words}
    return str(fill("theory.html.jinja", **content))


def words(text: str) -> Markup:
    """Text with its indices set low.

    >>> str(words("p_σ < 1"))
    'p<sub>σ</sub> &lt; 1'
    """
    return Markup(re.sub(r"(\w)_(\w)(?!\w)", r"\1<sub>\2</sub>", str(escape(text))))


def formula(text: str) -> list[Markup]:
    """Typeset mathematics in pieces, which a narrow screen stacks."""
    pieces = text.strip("$").split(r"\qquad")
    return [svg(f"${piece.strip()}$") for piece in pieces]


def svg(text: str) -> Markup:
    """Typeset mathematics as inline SVG, labelled with its source for screen readers."""
    figure = Figure(figsize=(0.1, 0.1))
    figure.text(0, 0, text, fontsize=13)
    buffer = StringIO()
    with rc_context({"svg.fonttype": "path", "mathtext.fontset": "cm", "svg.hashsalt": text}):
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None}
        )
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*</metadata>", "", drawn, flags=re.DOTALL)
    # Names inside the picture must be unique on the page.
    prefix = f"f{crc32(text.encode())}-"
    drawn = re.sub(r'(id="|xlink:href="#|url\(#)', lambda m: m.group(0) + prefix, drawn)
    return Markup(drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" ', 1))
