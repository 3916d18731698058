"""Try and time training on a GPU: `make gpu`, or `make gpu ONLY="graphs images"`; minutes.

Prints one table. Ratios are the speed of `fit` over that of the loop by hand with the same settings
in the same process: 1 is as fast. Without a GPU it says so, and succeeds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

# As deterministic algorithms ask for; it is the size that cuBLAS takes on its own on an H100.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
os.environ.setdefault("TERM", "xterm")  # so that the progress bar is drawn as shipped

import torch

from bench.data import mnist_root

from . import checks, speed
from .scale import Scale
from .table import Row

SECTIONS: dict[str, Callable[[Scale], Iterator[Row]]] = {
    "waits": checks.waits,
    "resume": checks.resume,
    "images": speed.throughput,
    **{mode: partial(speed.speed, mode=mode) for mode in speed.MODES},
    "fsdp": checks.sharded,
    "tests": checks.tests,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="SECTION", help=" ".join(SECTIONS))
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    parser.add_argument("--tiny", action="store_true", help="next to nothing, on the CPU")
    parser.add_argument("--seconds", type=float, default=290, help="begin nothing after these")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.only if name not in SECTIONS]:
        parser.error(f"{unknown[0]} is no section: expected {', '.join(SECTIONS)}.")
    if not (torch.cuda.is_available() or chosen.tiny):
        print("gpu: skipped, since there is no GPU here.")
        return 0
    began, rows, failed = time.monotonic(), [], False
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    device = torch.device("cpu" if chosen.tiny else "cuda")
    card = "CPU" if chosen.tiny else torch.cuda.get_device_name()
    print(f"{card}, torch {torch.__version__}", flush=True)
    with mnist_root() as root:
        scale = Scale(device, 2 if chosen.tiny else 6, 0.01 if chosen.tiny else 1.0, root)
        for name in chosen.only or SECTIONS:
            try:
                found = SECTIONS[name](scale)
                while time.monotonic() - began < chosen.seconds:
                    if (row := next(found, None)) is None:
                        break
                    rows.append(row)
                    print(row, flush=True)
                else:
                    rows.append(Row(name, "what follows", note="there was no time left"))
                    print(rows[-1], flush=True)
            except Exception:
                failed = True
                print(
                    f"{name}: FAILED", traceback.format_exc()[-3000:], file=sys.stderr, flush=True
                )
    print(f"in {time.monotonic() - began:.0f} s")
    if chosen.json:
        table = {"card": card, "torch": torch.__version__, "rows": [row.as_dict() for row in rows]}
        chosen.json.write_text(json.dumps(table, indent=1, ensure_ascii=False))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
