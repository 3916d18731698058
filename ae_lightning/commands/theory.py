"""Carry out the experiments that prove the theory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from ae_lightning.theory import CLAIMS, claim

if TYPE_CHECKING:
    from rich.table import Table

    from ae_lightning.theory.base import Check, Proof


def theory(*names: str, seed: int = 0, report: Path | None = None) -> None:
    """Prove the claims of the notes on autoencoders by experiments that can fail.

    Args:
        names: the claims, such as score and tangents; all, if none is named.
        seed: what data, weights and noise are functions of.
        report: a folder for a page, index.html, with every claim, figure and picture.

    Raises:
        UsageError: where there is no claim of a name.
        SystemExit: with 1, where a claim fails.
    """
    from rich.console import Console

    chosen = list(dict.fromkeys(names)) or list(CLAIMS)
    for name in chosen:
        claim(name)
    found = {proof.claim.name: proof for proof in watched(chosen, seed)}
    proofs = [found[name] for name in chosen]
    console = Console()
    console.print(table(proofs))
    if report is not None:
        from ae_lightning.theory.report import write

        console.print(f"report: {write(proofs, report, seed)}", soft_wrap=True)
    failed = [p.claim.name for p in proofs if not p.skipped and not p.proved]
    if failed:
        console.print(f"not proved: {', '.join(failed)}")
        raise SystemExit(1)


def carry_out(name: str, seed: int) -> Proof:
    """Prove one claim on one core, so that the result is the same beside others and alone."""
    import torch

    from ae_lightning.theory.base import prove

    torch.set_num_threads(1)
    return prove(claim(name), seed)


def prove_all(names: list[str], seed: int) -> Iterator[Proof]:
    """Yield the proofs as they are found, as many at a time as there are cores."""
    workers = min(len(os.sched_getaffinity(0)), len(names))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(carry_out, name, seed) for name in names]):
            yield future.result()


def watched(names: list[str], seed: int) -> Iterator[Proof]:
    """The same, under a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), transient=True) as bar:
        task = bar.add_task("proving", total=len(names))
        for proof in prove_all(names, seed):
            bar.update(task, advance=1, description=f"{proof.claim.name:12}")
            yield proof


def table(proofs: list[Proof]) -> Table:
    """One row a check: figure, bound, whether it holds, and what the wrong versions give."""
    from rich import box
    from rich.table import Table

    columns = ("claim", "figure", "value", "bound", "holds", "wrong versions miss it", "seconds")
    rows = Table(*columns, box=box.SIMPLE_HEAD)
    for proof in proofs:
        name, seconds = proof.claim.name, f"{proof.seconds:.1f}"
        if proof.skipped:
            rows.add_row(name, proof.skipped, "", "", "skipped", "", seconds)
        for i, check in enumerate(proof.checks):
            last = i == len(proof.checks) - 1
            rows.add_row(
                "" if i else name,
                check.what,
                f"{check.value:.3g}",
                check.bound,
                "yes" if check.holds else "[bold red]NO[/]",
                wrong(check),
                "" if i else seconds,
                end_section=last,
            )
    return rows


def wrong(check: Check) -> str:
    """The wrong versions' figures, each marked where it should have missed the bound."""
    return "\n".join(
        f"{name}: {value:.3g}" + (" [bold red]HOLDS[/]" if check.allows(value) else "")
        for name, value in check.wrong.items()
    )
