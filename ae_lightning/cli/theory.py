"""Run the experiments that prove the theory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ae_lightning.core.printing import console, tell
from ae_lightning.theory import CLAIMS, claim

if TYPE_CHECKING:
    from rich.console import Console

    from ae_lightning.theory.proof import Proof


def theory(*names: str, seed: int = 0, report: Path | None = None) -> None:
    """Prove the claims of the notes on autoencoders by experiments that can fail.

    Args:
        names: the claims, such as score and tangents; all, if none is named.
        seed: the seed of data, weights and noise.
        report: a folder for a page, index.html, with every claim, figure and picture.

    Raises:
        UsageError: if there is no claim of a name.
        SystemExit: with 1, if a claim fails.
    """
    chosen = list(dict.fromkeys(names)) or list(CLAIMS)
    for name in chosen:
        claim(name)
    screen, found = console(), {}
    for proof in watched(chosen, seed, screen):
        found[proof.claim.name] = proof
        screen.print(table(proof, screen.width), "")  # at once: the last may take minutes
    proofs = [found[name] for name in chosen]
    if report is not None:
        from ae_lightning.theory.page import write_page

        tell(f"report: {write_page(proofs, report, seed)}")
    run = [p for p in proofs if not p.skipped]
    failed = [p.claim.name for p in run if not p.proved]
    tell(f"{len(run) - len(failed)} of {len(run)} claims proved")
    if failed:
        tell(f"not proved: {', '.join(failed)}")
        raise SystemExit(1)


def carry_out(name: str, seed: int) -> Proof:
    """Prove one claim on one core, so that its result does not depend on what runs beside it."""
    import torch

    from ae_lightning.theory.proof import prove

    torch.set_num_threads(1)
    return prove(claim(name), seed)


def prove_all(names: list[str], seed: int) -> Iterator[Proof]:
    """Yield the proofs as they are found, as many at a time as there are cores."""
    workers = min(len(os.sched_getaffinity(0)), len(names))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(carry_out, name, seed) for name in names]):
            yield future.result()


def watched(names: list[str], seed: int, screen: Console) -> Iterator[Proof]:
    """The same, under a progress bar if this is a terminal."""
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("proving", total=len(names))
        for proof in prove_all(names, seed):
            bar.update(task, advance=1, description=f"{proof.claim.name:12}")
            yield proof


def table(proof: Proof, width: int) -> Table:
    """One row a check, and under it its wrong versions, which must miss the bound.

    Args:
        width: of the terminal, in characters.
    """
    from ae_lightning.core.showing import number

    said = "skipped" if proof.skipped else "proved" if proof.proved else ("NOT PROVED", "red")
    tests = f" ({proof.claim.tests})" if proof.claim.tests else ""
    named = (proof.claim.name, "bold"), f": {proof.claim.title}{tests}: "
    rows = Table(
        title=Text.assemble(*named, said, f" in {proof.seconds:.1f} s"),
        title_justify="left",
        title_style="",
        box=None,
        show_header=False,
        padding=(0, 2, 0, 0),
    )
    values = [v for check in proof.checks for v in (check.value, *check.wrong.values())]
    figures = max([11, *(len(number(value)) for value in values)])
    bounds = max([18, *(len(check.bound) for check in proof.checks)])
    # Figures are never cut; what is measured takes the rest, and breaks between words.
    for columns in (max(20, min(72, width - 8 - figures - bounds - 5)), figures, bounds, 5):
        rows.add_column(width=columns)
    if proof.skipped:
        rows.add_row(proof.skipped)
    for check in proof.checks:
        mark = "holds" if check.holds else Text("FAILS", "bold red")
        rows.add_row(Padding(check.what, (0, 0, 0, 2)), number(check.value), check.bound, mark)
        for name, value in check.wrong.items():
            mark = Text("HOLDS", "bold red") if check.allows(value) else "fails"
            wrong = Padding(f"wrong: {name}", (0, 0, 0, 4))
            rows.add_row(wrong, number(value), "", mark, style="dim")
    return rows


def listed() -> str:
    """The claims by name, for --help."""
    rows = [f"  {name:12}{module.replace('_', ' ')}" for name, (module, _) in CLAIMS.items()]
    return "\n".join(["the claims:", *rows])


theory.listed = listed  # type: ignore[attr-defined]
