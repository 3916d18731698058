"""A page shows commands and files without `%%bash` and `%%writefile`, and whole what they print."""

from typing import Any

from docutils import nodes
from myst_nb.core import render
from sphinx.application import Sphinx


def plain(code: str) -> tuple[str, str] | None:
    r"""What a cell's code is without its magic, and in which language; None if it has none.

    >>> plain("%%bash\nls")
    ('ls', 'bash')
    >>> plain("%%writefile my_lab.py\nx = 1")
    ('# my_lab.py\nx = 1', 'python')
    """
    magic, _, rest = code.partition("\n")
    if magic == "%%bash":
        return rest, "bash"
    if magic.startswith("%%writefile "):
        return f"# {magic.split()[1]}\n{rest}", "python"
    return None


def strip(app: Sphinx, document: nodes.document) -> None:
    for block in document.findall(nodes.literal_block):
        if found := plain(block.astext()):
            code, block["language"] = found
            block.rawsource = code
            block.children = [nodes.Text(code)]


def joined(outputs: list[Any]) -> list[Any]:
    r"""Join the pieces of 100 bytes in which IPython hands on what a command prints.

    myst_nb would begin a line with each.

    >>> pieces = [dict(output_type="stream", name="stdout", text=t) for t in ("−4", ".01\n")]
    >>> [output["text"] for output in joined(pieces)]
    ['−4.01\n']
    """
    whole: dict[str, Any] = {}
    kept = []
    for output in outputs:
        name = output.get("name")
        if name in whole:
            whole[name]["text"] += output["text"]
            continue
        if output["output_type"] == "stream":
            whole[name] = output
        kept.append(output)
    return kept


def setup(app: Sphinx) -> dict[str, bool]:
    merge = render.coalesce_streams
    render.coalesce_streams = lambda outputs: merge(joined(outputs))
    app.connect("doctree-read", strip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
