"""Anchors at the statements of the notes, and links from each to the claims that test it."""

import re

from sphinx.application import Sphinx

from ae_lightning.theory import CLAIMS, claim

STATEMENT = re.compile(r"^\*\*(\d+\.\d+)\*\* .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def link(app: Sphinx, page: str, source: list[str]) -> None:
    """Put an anchor before each statement, and the names of its claims behind it."""
    if page == "notes":
        source[0] = STATEMENT.sub(linked, source[0])


def linked(statement: re.Match[str]) -> str:
    testing = [claim(name) for name in CLAIMS if statement[1] in claim(name).notes]
    words = "; ".join(f"[{one.title}](#claim-{one.name})" for one in testing)
    tested = f" → *{words}*" if words else ""
    return f"(notes-{statement[1]})=\n{statement[0]}{tested}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
