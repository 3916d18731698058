"""`{claim} NAME`: a claim of the theory, as the software states it, and what it corrects."""

from docutils.nodes import Node, container
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ae_lightning.theory import claim


class Claimed(SphinxDirective):
    """State a claim: its formula, what it puts right in the notes, and its source."""

    required_arguments = 1

    def run(self) -> list[Node]:
        stated = claim(self.arguments[0])
        lines = stated.formula.strip("$").replace(r"\qquad", r"\\")
        formula = rf"\begin{{gathered}} {lines} \end{{gathered}}"
        source = f"(claim-{stated.name})=\n**{stated.title}.** {stated.statement}\n\n"
        source += f"```{{math}}\n{formula}\n```\n"
        notes = ", ".join(f"[{number}](#notes-{number})" for number in stated.notes)
        if stated.correction:
            source += f"\n*Put right*, of {notes} in the notes: {stated.correction}\n"
        else:
            source += f"\nThis is {notes} of the notes.\n"
        source += f"\n*{stated.source}.* To see it proved: `ae-lightning theory {stated.name}`.\n"
        return [container("", *self.parse_text_to_nodes(source), classes=["claim"])]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("claim", Claimed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
