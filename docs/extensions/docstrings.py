"""Docstrings are plain text with `names`, formulas and examples: `(B, *S)` is no emphasis."""

import re
from typing import Any

from sphinx.application import Sphinx

LITERAL = re.compile(r"(`+[^`]*`+)")


def escape(lines: list[str]) -> list[str]:
    """Take the meaning from * and | in prose, but not in examples, formulas and line blocks.

    >>> escape(["x (B, *S) of `*S`", "| a title", ".. math:: p(x|z)"])
    ['x (B, \\\\*S) of `*S`', '| a title', '.. math:: p(x|z)']
    """
    escaped, verbatim = [], None  # the indentation that ends a formula
    example = False
    for line in lines:
        depth = len(line) - len(line.lstrip())
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if verbatim is not None and line.strip() and depth <= verbatim:
            verbatim = None
        if line.lstrip().startswith(".. math::"):
            verbatim = depth
        if example or verbatim is not None:
            escaped.append(line)
        else:
            escaped.append("".join(prose(part) for part in LITERAL.split(line)))
    return escaped


def prose(text: str) -> str:
    """Escape a piece of a line, if it is no literal."""
    if text.startswith("`"):
        return text
    block = re.match(r"\s*\| ", text)
    start = block.end() if block else 0
    return text[:start] + re.sub(r"([*|])", r"\\\1", text[start:])


def process(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    lines[:] = escape(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
