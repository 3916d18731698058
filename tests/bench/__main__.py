"""Print the ratios of training speed: `make bench`, or `make bench ONLY="P1 P7"`.

One line a goal: its number, the median ratio, the spread over the rounds, the goal, met or short.
A goal of several cases prints its worst, and below it all of them.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import warnings

MODULES = {"training": range(1, 7), "parts": range(7, 11)}


def main() -> None:
    module_of = {f"P{n}": module for module, numbers in MODULES.items() for n in numbers}
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", nargs="+", action="extend", choices=module_of, metavar="P")
    chosen = parser.parse_args().only or list(module_of)
    # What a terminal would show, so that the progress bar is drawn as shipped.
    os.environ.setdefault("TERM", "xterm")
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    import torch

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for number in module_of:
        if number in chosen:
            goals = importlib.import_module(f"bench.{module_of[number]}").GOALS
            print(goals[number](), flush=True)


if __name__ == "__main__":
    main()
