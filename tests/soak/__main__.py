"""Run the experiments that are too long for the tests: `make soak`, or `make soak ONLY="sigkill"`.

An experiment is a function without arguments that yields the lines to print, and raises `Failed`
where what it checks does not hold. To add one, write it in a module of this package, list it in
that module's EXPERIMENTS by its name, and name the module here.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from soak.experiment import Failed

MODULES = {
    "kills": ("sigkill", "signals", "flipped", "full_disk"),
    "wrong": ("bad-configs",),
    "untrusted": ("mutated-configs", "mutated-checkpoints", "mutated-chunks"),
    "two_nodes": ("two_nodes", "slurm", "frozen", "rank_signals"),
}


def main() -> int:
    module_of = {name: module for module, names in MODULES.items() for name in names}
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", metavar="NAME", help=" ".join(module_of))
    chosen = parser.parse_args().only or list(module_of)
    if unknown := [name for name in chosen if name not in module_of]:
        parser.error(f"{unknown[0]} is no experiment: expected {', '.join(module_of)}.")
    failed = []
    for name in chosen:
        began = time.monotonic()
        try:
            for line in importlib.import_module(f"soak.{module_of[name]}").EXPERIMENTS[name]():
                print(f"{name}: {line}", flush=True)
        except Failed as failure:
            failed.append(name)
            print(f"{name}: FAILED: {failure}", flush=True)
        else:
            print(f"{name}: passed in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
