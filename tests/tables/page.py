"""The page of all tables, written from their results."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from textwrap import fill
from typing import Any

from .running import Found, Places
from .table import Quantity, Row, Table

NOT_RUN = "not run"
SHORT = "minutes of one core a seed"  # what `make tables` does unasked
HEAD = """# Results

Every table is made by `make tables`: each model is trained by a recipe that is shipped, on the
command line that stands below, and measured by `ae-lightning evaluate`. A figure is the mean over
seeds, ± their standard deviation; of one seed alone, ± its standard error over the test images, or
its 95 % interval. The difference is ours less the published one. `make tables ONLY="linear"` runs
some of them, `ALL=1` those too that take hours; what is done is kept until its recipe changes, and
an interrupted training goes on where it was. Seconds are of the processor, for training and
measuring; hours are estimates from a few steps of each, on the same machine.
"""


def written(tables: Sequence[Table], places: Places, to_come: Sequence[str] = ()) -> str:
    """The whole page."""
    parts = [HEAD, *(section(table, places.found(table)) for table in tables)]
    if to_come:
        parts.append("## To come\n\n" + "".join(f"- {line}\n" for line in to_come))
    return "\n".join(parts)


def section(table: Table, found: dict[str, Found]) -> str:
    """A table, its source, and below it each row's command, time and reason."""
    results = {
        row.name: [found[e.digest] for e in table.experiments(row) if e.digest in found]
        for row in table.rows
    }
    heads = ["model", *(head for q in table.quantities for head in heads_of(table, q))]
    lines = [cells(heads), cells(["---", *["---:"] * (len(heads) - 1)])]
    for row in table.rows:
        columns = (columns_of(table, row, q, results[row.name]) for q in table.quantities)
        lines.append(cells([row.name, *(cell for column in columns for cell in column)]))
    source = f"\n{wrapped(f'Published: {table.source}')}\n" if table.source else ""
    notes = "\n".join(note(table, row, results[row.name]) for row in table.rows)
    done = [result for each in results.values() for result in each]
    parts = [f"## {table.title}\n", wrapped(table.about), source, "\n".join(lines), f"\n{notes}\n"]
    return "\n".join([*parts, *made_on(done)])


def is_published(table: Table, quantity: Quantity) -> bool:
    return any(quantity.title in row.published for row in table.rows)


def heads_of(table: Table, quantity: Quantity) -> list[str]:
    if not is_published(table, quantity):
        return [quantity.title]
    return [f"{quantity.title}: published", "ours", "difference"]


def columns_of(table: Table, row: Row, quantity: Quantity, results: list[Found]) -> list[str]:
    """Published, ours and the difference; ours alone where nothing was published."""
    name = row.instead.get(quantity.title, quantity.figure)
    figures = [result["figures"][name] for result in results if name in result["figures"]]
    ours = value(figures, quantity) if figures else "–" if results else NOT_RUN
    if not is_published(table, quantity):
        return [ours]
    published = row.published.get(quantity.title)
    told = number(published, quantity.digits) if published is not None else "–"
    if published is None or not figures:
        return [told, ours, "–"]
    difference = quantity.of(mean(f["value"] for f in figures)) - published
    return [told, ours, number(difference, quantity.digits, sign="+")]


def value(figures: list[dict[str, Any]], quantity: Quantity) -> str:
    """A figure's mean, and its spread over seeds, or its own error or interval."""
    values, digits = [quantity.of(figure["value"]) for figure in figures], quantity.digits
    told = number(mean(values), digits)
    if len(values) > 1:
        return f"{told} ± {number(stdev(values), digits)}"
    (figure,) = figures
    if figure["interval"] is not None:
        low, high = sorted(quantity.of(end) for end in figure["interval"])
        return f"{told} ({number(low, digits)} … {number(high, digits)})"
    if figure["error"] is not None:
        return f"{told} ± {number(abs(quantity.times) * figure['error'], digits)}"
    return told


def note(table: Table, row: Row, results: list[Found]) -> str:
    """How a row was made, or what it needs, and why it differs."""
    experiments = table.experiments(row)
    how = command(row) if isinstance(row.recipe, str) else ""
    if results:
        seeds = [str(result["seed"]) for result in results]
        seconds = mean(result["seconds"]["processor"] for result in results)
        least = "at least " if any(result["resumed"] for result in results) else ""
        made = f"seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}; " if how else ""
        made += f"{least}{seconds:,.0f} s" + " each" * (len(seeds) > 1)
        if len(results) < len(experiments):
            made += f"; {len(results)} of {len(experiments)} seeds are done"
    else:
        made = f"{NOT_RUN}: {prose(row.needs or SHORT)}"
    parts = [part for part in (how, made) if part]
    why = f" Why it differs: {prose(row.why)}" if row.why and row.published and results else ""
    told = f" {sentence(prose(row.why))}" if row.why and not why else ""
    return f"- {row.name}: {', '.join(parts)}.{why}{told}"


def command(row: Row) -> str:
    flags = f" {prose(row.flags)}" if row.flags else ""
    return f"`ae-lightning fit --config recipes/{row.recipe}{flags}`"


def made_on(results: Sequence[Found]) -> list[str]:
    """On which machines, and with which versions."""
    lines = dict.fromkeys(
        f"{result['machine']}; "
        + ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        for result in results
    )
    return ["Made on " + ", and on ".join(lines) + ".\n"] if lines else []


def cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def prose(text: str) -> str:
    """Text of several lines as one."""
    return " ".join(text.split())


def wrapped(text: str) -> str:
    """Text in lines, broken at spaces alone."""
    return fill(prose(text), 100, break_long_words=False, break_on_hyphens=False)


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def number(value: float, digits: int, sign: str = "") -> str:
    """A number with a true minus, unless it is zero as shown; sign is + to show the plus too.

    >>> number(-0.004, 2), number(-0.01, 2), number(1.5, 1, "+")
    ('0.00', '−0.01', '+1.5')
    """
    shown = round(value, digits) + 0.0  # −0 + 0 = 0
    return f"{shown:{sign}.{digits}f}".replace("-", "−")
