"""Print the ratios of training speed: `make bench`, or `make bench ONLY="shipped jacobian"`.

One line a goal: its name, the median, the spread over the rounds, the goal, met or short, and the
cores that other processes used in the worst round. A goal of several cases prints its worst, and
below it all of them. Both sides of a ratio take turns, train the same networks on batches of the
same size under the same objective, and have the same number of threads. Other libraries, and the
tables of docs/networks.md, are measured only if they are named: `make bench ONLY="photos sizes"`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import time
import warnings
from pathlib import Path

from . import measure

MODULES = {
    "training": ("shipped", "bare", "settings", "typical"),
    "counts": ("calls", "faults"),
    "parts": ("jacobian", "corruption", "evidence"),
    "starting": ("startup",),
    "growing": ("growth", "epochs"),
    "evaluating": ("validation",),
    "inference": ("encode", "reconstruct", "memory"),
    "networks": ("photos", "sizes"),
    "others": ("peers",),
}
APART = ("photos", "sizes", "peers")  # run only if they are named
HEAD = (
    "| `ONLY` | goal | measured | spread | wanted | | others used |\n|---|---|---|---|---|---|---|"
)


def main() -> None:
    module_of = {name: module for module, names in MODULES.items() for name in names}
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", nargs="+", action="extend", choices=module_of, metavar="GOAL")
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--markdown", type=Path, help="write a table to this file")
    arguments = parser.parse_args()
    chosen = arguments.only or [name for name in module_of if name not in APART]
    measure.ROUNDS = arguments.rounds
    # What a terminal would show, so that the progress bar is drawn as shipped.
    os.environ.setdefault("TERM", "xterm")
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    import torch

    threads, began = torch.get_num_threads(), time.monotonic()
    what = f"torch {torch.__version__}, {threads} threads, Python {platform.python_version()}"
    print(what, flush=True)
    goals = []
    for name in [name for name in module_of if name in chosen]:
        found = getattr(importlib.import_module(f"bench.{module_of[name]}"), name)()
        print(f"{found}   [{time.monotonic() - began:.0f} s]", flush=True)
        if not isinstance(found, measure.Goal):  # a table of docs/networks.md, as it stands there
            continue
        goals.append(found)
        # Written after every goal, so that what was measured outlives an interruption.
        if arguments.json:
            every = {"what": what, "goals": [goal.as_dict() for goal in goals]}
            arguments.json.write_text(json.dumps(every, indent=1, ensure_ascii=False) + "\n")
        if arguments.markdown:
            rows = [row for goal in goals for row in goal.rows()]
            arguments.markdown.write_text("\n".join([HEAD, *rows, "", f"{what}."]) + "\n")


if __name__ == "__main__":
    main()
