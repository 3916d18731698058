"""Everything that a trained model is judged by."""

from math import isnan
from pathlib import Path

from ae_lightning.core.errors import printable
from ae_lightning.core.printing import console, counted, tell
from ae_lightning.inference import evaluation
from ae_lightning.inference.measures.figures import Figure
from ae_lightning.inference.reading import Reading


def evaluate(
    model: Path,
    *,
    data: str | None = None,
    only: str | None = None,
    json: bool = False,
    samples: int = 500,
    repeats: int = 3,
    subset: int = 1000,
    labels: int = 10_000,
    weights: str | None = None,
    seed: int = 0,
    split: str = "test",
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    reading: Reading | None = None,
) -> None:
    """Measure a trained model: likelihood, reconstruction, sensitivity, information, sparsity,
    representation, disentanglement, score and realism; and, if asked for, finetuning.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: a folder, an array file or a shipped data set such as mnist; by default, that of
            training.
        only: the groups to measure, such as likelihood,sparsity; by default, all that are defined
            but finetuning, which takes minutes.
        json: print JSON, which compare reads, in place of a table.
        samples: K of importance sampling.
        repeats: how often to repeat that, with other samples.
        subset: how many examples, the first, log p(x) and Jacobians are taken over.
        labels: how many labelled training examples the probes learn from at most.
        weights: the file of torch-fidelity's Inception weights, for FID and KID.
        seed: what is drawn is a function of it.
        split: train, val, test or all.
        limit: how many examples to take at most.
        batch_size: how many to compute at a time.
        device: auto, cpu, cuda, cuda:1, ….
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model, no such data or no such group, or they do not fit.
    """
    groups = [name.strip() for name in (only or "").split(",") if name.strip()]
    found = evaluation.evaluate(
        model,
        data,
        only=groups,
        samples=samples,
        repeats=repeats,
        subset=subset,
        labels=labels,
        weights=weights,
        seed=seed,
        split=None if split == "all" else split,
        limit=limit,
        batch_size=batch_size,
        device=device,
        reading=reading,
    )
    if json:
        tell(*found.json().splitlines())
    else:
        show(found)


def show(found: evaluation.Measured) -> None:
    """Print figures as a table, group by group, and what is left out and why."""
    from rich.table import Table

    of = f"split {found.split}" if found.split else "all splits"
    title = f"{found.model} on {counted(found.examples, 'example')} of {found.data}, {of}"
    table = Table(title=printable(title), title_justify="left", box=None)
    for name in ("figure", "value", "± error", "unit"):
        table.add_column(name, no_wrap=True, justify="right" if name[0] in "v±" else "left")
    table.add_column("note", overflow="fold")
    for group, figures in found.figures.items():
        table.add_row(group, style="bold")
        for figure in figures:
            table.add_row(f"  {figure.name}", *columns(figure))
    console().print(table)
    tell(*(f"left out: {group}: {reason}" for group, reason in found.left_out.items()))


def columns(figure: Figure) -> tuple[str, str, str, str]:
    """Value, error, unit and note of a figure.

    >>> columns(Figure("accuracy", 0.9, "", 0.01, (0.88, 0.91), "100 labels"))
    ('0.9', '0.01', '', '95 %: 0.88 … 0.91; 100 labels')
    """
    value = f"{figure.value:.0f}" if float(figure.value).is_integer() else f"{figure.value:.4g}"
    error = "" if figure.error is None or isnan(figure.error) else f"{figure.error:.2g}"
    notes = [figure.note] if figure.note else []
    if figure.interval is not None:
        low, high = figure.interval
        notes.insert(0, f"95 %: {low:.3g} … {high:.3g}")
    return value, error, figure.unit, "; ".join(notes)
