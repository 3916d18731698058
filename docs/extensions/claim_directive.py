"""`{claim} NAME`: a claim of the theory, as the software states it, and what it corrects."""

import re

from docutils.nodes import Node, container
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ae_lightning.theory import claim


def low(text: str) -> str:
    """Set indices low: p_σ with σ as a subscript."""
    return re.sub(r"(\w)_(\w)(?!\w)", r"\1{sub}`\2`", text)


class Claimed(SphinxDirective):
    """State a claim: its formula, what it puts right in the notes, and its source."""

    required_arguments = 1

    def run(self) -> list[Node]:
        stated = claim(self.arguments[0])
        formula = stated.formula.strip("$").replace(r"\qquad", r"\\")
        source = f"(claim-{stated.name})=\n**{stated.title}.** {low(stated.statement)}\n\n"
        source += f"```{{math}}\n{formula}\n```\n"
        notes = ", ".join(f"[{number}](#notes-{number})" for number in stated.notes)
        if stated.correction:
            source += f"\n*Put right*, of {notes} in the notes: {low(stated.correction)}\n"
        else:
            source += f"\nThis is {notes} of the notes.\n"
        source += f"\n*{stated.source}.* To see it proved: `ae-lightning theory {stated.name}`.\n"
        return [container("", *self.parse_text_to_nodes(source), classes=["claim"])]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("claim", Claimed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
