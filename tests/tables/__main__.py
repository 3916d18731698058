"""Run the tables of docs/results.md: `make tables`, or `make tables ONLY="linear score"`.

Runs what has no result yet, keeps each result as it comes, and writes the page; what cannot be
trained, say without its data, is told at the end.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from ae_lightning.core.files import write_text

from . import (
    binarised,
    denoising,
    disentanglement,
    features,
    linear,
    photographs,
    score,
)
from .page import written
from .running import Places, run

TABLES = {
    table.name: table
    for table in (
        linear.TABLE,
        binarised.TABLE,
        features.TABLE,
        features.FINETUNED,
        score.TABLE,
        denoising.TABLE,
        disentanglement.TABLE,
        photographs.CIFAR10,
        photographs.PHOTOGRAPHS,
    )
}
ROOT = Path(__file__).parents[2]
PLACES = Places(ROOT / "runs" / "tables", ROOT / "tests/tables/results", ROOT / "docs/results.md")
TO_COME = [
    "Two stochastic layers, as in the second half of Burda et al.'s table.",
    "FactorVAE, beside the β-TCVAE.",
    "Discretised logistic likelihoods, for CIFAR-10 without dequantisation.",
    "Patches of photographs larger than memory.",
]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tables", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="TABLE", help=" ".join(TABLES))
    parser.add_argument("--all", action="store_true", help="also what takes hours")
    parser.add_argument("--quick", action="store_true", help="try each recipe, and keep nothing")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.only if name not in TABLES]:
        parser.error(f"{unknown[0]} is no table: expected {', '.join(TABLES)}.")
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    tables = [TABLES[name] for name in chosen.only or TABLES]
    if chosen.quick:
        with tempfile.TemporaryDirectory() as folder:
            places = Places(Path(folder), Path(folder), Path(folder, "results.md"))
            quick = [table.made_quick() for table in tables]
            failed = [name for table in quick for name in run(table, places)]
            print(written(quick, places))
    else:
        failed = [name for table in tables for name in run(table, PLACES, chosen.all)]
        write_text(PLACES.page, written([*TABLES.values()], PLACES, TO_COME))
        print(f"written: {PLACES.page}")
    if failed:
        print("could not be trained, as told above:", *failed, sep="\n  ", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
