"""Print the ratios of training speed: `make bench`, or `make bench ONLY="shipped jacobian"`.

One line a goal: its name, the median ratio, the spread over the rounds, the goal, met or short.
A goal of several cases prints its worst, and below it all of them. The tables of docs/networks.md
are made only if they are named: `make bench ONLY="photos sizes"`.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import warnings

MODULES = {
    "training": ("shipped", "bare", "settings", "typical", "pythae"),
    "counts": ("calls", "faults"),
    "parts": ("jacobian", "corruption", "evidence", "startup"),
    "inference": ("encode", "reconstruct", "memory"),
    "networks": ("photos", "sizes"),
}


def main() -> None:
    module_of = {name: module for module, names in MODULES.items() for name in names}
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", nargs="+", action="extend", choices=module_of, metavar="GOAL")
    unasked = [name for name, module in module_of.items() if module != "networks"]
    chosen = parser.parse_args().only or unasked
    # What a terminal would show, so that the progress bar is drawn as shipped.
    os.environ.setdefault("TERM", "xterm")
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    import torch

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for name, module in module_of.items():
        if name in chosen:
            goal = getattr(importlib.import_module(f"bench.{module}"), name)
            print(goal(), flush=True)


if __name__ == "__main__":
    main()
