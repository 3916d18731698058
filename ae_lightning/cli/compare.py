"""Runs side by side, as a table for a terminal, a page, a paper or a program."""

from collections.abc import Callable
from typing import Any, Final, Literal

from ae_lightning.core.errors import printable
from ae_lightning.core.printing import console, tell
from ae_lightning.inference import comparison
from ae_lightning.inference.comparison import Cell, Comparison


def compare(
    *runs: str,
    only: str | None = None,
    to: Literal["table", "markdown", "latex", "csv"] = "table",
) -> None:
    r"""Put runs side by side, the best of each figure marked, mean ± spread over seeds where runs
    differ in nothing else.

    Args:
        runs: runs or checkpoints, for the validation that each was chosen by; or files that
            evaluate --json has written.
        only: the figures to compare, such as elbo,mse; by default, all.
        to: table, markdown, latex or csv.

    Raises:
        UsageError: if there is no such run or figure, or the figures are of different things.
    """
    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    WRITERS[to](comparison.compare(*runs, only=names))


def rows(found: Comparison) -> list[list[tuple[str, bool]]]:
    """What every format shows: settings, then figures; each a text and whether it is best."""
    settings = [
        [(name, False), *((printable(str(value), 40), False) for value in values)]
        for name, values in found.settings.items()
    ]
    figures = [
        [(name, False), *((text(cell), bool(cell and cell.best)) for cell in cells)]
        for name, cells in found.figures.items()
    ]
    return settings + figures


def text(cell: Cell | None) -> str:
    """A mean and its spread, to the digits that the spread leaves certain.

    >>> text(Cell(0.034567, 0.00123, True)), text(Cell(12.0, None, False)), text(None)
    ('0.0346 ± 0.0012', '12', '')
    """
    if cell is None:
        return ""
    if cell.spread is None:
        return f"{cell.mean:.4g}"
    if cell.spread == 0:
        return f"{cell.mean:.4g} ± 0"
    from math import floor, log10

    places = max(0, 1 - floor(log10(cell.spread)))
    return f"{cell.mean:.{places}f} ± {cell.spread:.{places}f}"


def marked(found: Comparison, sign: str) -> str:
    """Say which values are marked, and among which runs, if not among all."""
    groups = [group for group in found.alike if len(group) > 1]
    if len(found.alike) == 1:
        return f"best values are {sign}"
    if not groups:
        return "no values are marked: the runs are of unlike data or shapes"
    among = "; ".join(", ".join(found.names[place] for place in group) for group in groups)
    return f"best values are {sign}, among runs of the same data and shape alone: {among}"


def as_table(found: Comparison) -> None:
    """Print a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None)
    for name in ("", *found.names):
        table.add_column(printable(name), justify="right" if name else "left")
    for row in rows(found):
        table.add_row(
            *(Text(cell + "*", "bold") if best else Text(printable(cell)) for cell, best in row)
        )
    console().print(table)
    if len(found.alike) > 1 or any(best for row in rows(found) for _, best in row):
        tell(marked(found, "marked *"))


def as_markdown(found: Comparison) -> None:
    """Print a table in Markdown."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    tell(
        line(["", *found.names]),
        "|" + " --- |" + " ---: |" * len(found.names),
        *(line([f"**{cell}**" if best else cell for cell, best in row]) for row in rows(found)),
        *(["", marked(found, "bold")] if len(found.alike) > 1 else []),
    )


def as_latex(found: Comparison) -> None:
    """Print a table in LaTeX, with booktabs."""

    def line(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    def cell_of(cell: str, best: bool) -> str:
        written = escaped(cell).replace("±", r"$\pm$")
        return rf"\textbf{{{written}}}" if best else written

    tell(
        rf"\begin{{tabular}}{{l{'r' * len(found.names)}}}",
        r"\toprule",
        line(["", *map(escaped, found.names)]),
        r"\midrule",
        *(line([cell_of(*cell) for cell in row]) for row in rows(found)),
        r"\bottomrule",
        r"\end{tabular}",
        *([f"% {marked(found, 'bold')}"] if len(found.alike) > 1 else []),
    )


def escaped(text: str) -> str:
    r"""Text as LaTeX takes it.

    >>> escaped("log_p 5%")
    'log\\_p 5\\%'
    """
    special = {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, c) for c in text)


def as_csv(found: Comparison) -> None:
    """Print a row for each figure of each column, at full precision."""
    tell(*found.frame().to_csv(index=False).splitlines())


WRITERS: Final[dict[str, Callable[[Comparison], Any]]] = {
    "table": as_table,
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
}
