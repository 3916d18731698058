"""One self-contained page of proofs, to be read without the code."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import StringIO
from pathlib import Path
from zlib import crc32

from ae_lightning.theory.proof import Check, Picture, Proof

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 68rem; padding: 1rem; color: #222; background: #fff;
  font: 1rem/1.5 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin: 0 0 .5rem; }
section { border-top: 1px solid #ccc; padding: 1.5rem 0; }
.verdict { font-weight: 600; } .proved { color: #00664b; } .failed { color: #b3370b; }
.skipped { color: #666; } nav ul { columns: 18rem; padding-left: 1.2rem; }
.formula { display: flex; flex-wrap: wrap; gap: .8rem 2.5rem; margin: 1rem 0; }
.formula span { overflow-x: auto; } .formula svg { height: auto; max-width: none; }
.panels { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1rem; margin: 1rem 0; }
.panels img { width: min(22rem, 100%); height: auto; }
.note { background: #f3f6f9; border-left: 4px solid #0072B2; padding: .5rem 1rem; margin: 1rem 0; }
.source { color: #555; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid #e3e3e3; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 40rem) {
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { border-bottom: 1px solid #ccc; padding: .5rem 0; } td { border: 0; padding: .1rem 0; }
  td[data-label]::before { content: attr(data-label) ": "; color: #555; }
}
"""
LABELS = ("figure", "measured", "bound", "holds", "wrong versions, which must miss the bound")


def write(proofs: Sequence[Proof], folder: Path, seed: int) -> Path:
    """Write the page into a folder, which is made where it is not there, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    path.write_text(page(proofs, seed), encoding="utf-8")
    return path


def page(proofs: Sequence[Proof], seed: int) -> str:
    """The page as HTML, with style, formulas and pictures inline."""
    run = [p for p in proofs if not p.skipped]
    proved, seconds = sum(p.proved for p in run), sum(p.seconds for p in proofs)
    links = "".join(
        f'<li><a href="#{p.claim.name}">{escape(p.claim.title)}</a> {verdict(p)}</li>'
        for p in proofs
    )
    title = "What autoencoders learn, proved by experiment"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body><h1>{title}</h1>
<p>{proved} of {len(run)} claims proved, with seed {seed}, in {seconds:.0f} seconds of computing.
Each experiment measures what its claim says, and holds it against a bound. Beside it, plausible
wrong versions of the same are measured, and must miss that bound: a check that cannot fail proves
nothing.</p><nav><ul>{links}</ul></nav>
{"".join(map(section, proofs))}</body></html>
"""


def verdict(proof: Proof) -> str:
    """Whether a claim is proved, as a coloured word."""
    word = "skipped" if proof.skipped else "proved" if proof.proved else "failed"
    return f'<span class="verdict {word}">{word}</span>'


def section(proof: Proof) -> str:
    """All of one claim."""
    claim = proof.claim
    parts = [
        f'<section id="{claim.name}"><h2>{escape(claim.title)}</h2>',
        f"<p>{escape(claim.statement)}</p>",
        f'<div class="formula">{formula(claim.formula)}</div>',
    ]
    if claim.correction:
        parts.append(f'<div class="note"><b>Put right:</b> {escape(claim.correction)}</div>')
    if proof.skipped:
        parts.append(f"<p>{verdict(proof)}: {escape(proof.skipped)}</p>")
    else:
        parts += [
            f"<p>{verdict(proof)} in {proof.seconds:.1f} seconds.</p>",
            checks(proof.checks),
            f'<div class="panels">{"".join(map(image, proof.pictures))}</div>',
            f"<p>{escape(claim.caption)}</p>",
        ]
    parts.append(f"<p><b>Wrong versions:</b> {escape(claim.wrong_version)}</p>")
    parts.append(f'<p class="source">{escape(claim.source)}</p></section>')
    return "\n".join(parts)


def checks(found: Sequence[Check]) -> str:
    """A table of figures against bounds; a list of cards where the screen is narrow."""
    head = "".join(f"<th>{label}</th>" for label in LABELS)
    rows = []
    for check in found:
        wrong = "<br>".join(
            f"{escape(name)}: {value:.4g}, {'holds!' if check.allows(value) else 'misses it'}"
            for name, value in check.wrong.items()
        )
        holds = "proved", "yes"
        if not check.holds:
            holds = "failed", "no"
        cells = (
            f"<td>{escape(check.what)}</td>",
            f'<td class="number" data-label="measured">{check.value:.4g}</td>',
            f'<td class="number" data-label="bound">{check.bound}</td>',
            f'<td data-label="holds" class="verdict {holds[0]}">{holds[1]}</td>',
            f'<td data-label="wrong">{wrong}</td>' if wrong else "<td></td>",
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def image(picture: Picture) -> str:
    """A picture, inline."""
    data = b64encode(picture.png).decode()
    return f'<img alt="{escape(picture.alt)}" src="data:image/png;base64,{data}">'


def formula(text: str) -> str:
    """Set mathematics in pieces that a narrow page puts below each other."""
    pieces = text.strip("$").split(r"\qquad")
    return "".join(f"<span>{svg(f'${piece.strip()}$')}</span>" for piece in pieces)


def svg(text: str) -> str:
    """Set mathematics as inline SVG, which names its own source to those who cannot see it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

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
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" ', 1)
