"""A page shows commands and files without the `%%bash` and `%%writefile` of their cells."""

from docutils import nodes
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


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", strip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
