"""Indices are set low and exponents high: p_σ with σ as a subscript, wherever prose says so."""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

# Of one letter, or of one of these, and not within a word such as code_0.
BASE = r"(?<![A-Za-z_])(?:KL|mean|[^\W\d_][\u0300-\u036f]?|²)"
INDEX = r"[A-Za-zα-ωΑ-Ω]{1,2}(?![A-Za-z_])|\d+"
BRACED = r"\{([^{}]*)\}"
SHIFTED = re.compile(rf"({BASE})_(?:{BRACED}|({INDEX}))|\^{BRACED}")
VERBATIM = (
    *(nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw),
    *(nodes.comment, addnodes.desc_signature),
)


def shifted(text: str) -> list[nodes.Node]:
    """Split a text at its indices and exponents.

    >>> print(*shifted("code_0, J_gᵀ, x̃_t and e^{−z_k/b}"), sep="")
    code_0, J<subscript>g</subscript>ᵀ, x̃<subscript>t</subscript> and \
e<superscript>−z<subscript>k</subscript>/b</superscript>
    """
    found: list[nodes.Node] = []
    end = 0
    for match in SHIFTED.finditer(text):
        base, braced, index, exponent = match.groups()
        found.append(nodes.Text(text[end : match.start()] + (base or "")))
        kind = nodes.superscript if exponent is not None else nodes.subscript
        found.append(kind("", "", *shifted(exponent or braced or index)))
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def set_indices(app: Sphinx, document: nodes.document) -> None:
    for text in list(document.findall(nodes.Text)):
        above = text.parent
        while above is not None and not isinstance(above, VERBATIM):
            above = above.parent
        if above is None and SHIFTED.search(text):
            text.parent.replace(text, shifted(str(text)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", set_indices)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
