"""Put errors into copies of the library: `make mutants`, or `make mutants ONLY="mmd samplers"`.

A mutant is killed if each test and claim that should see it does. Prints them and the survivors,
and succeeds if there are none. ONLY takes parts of the names of files and mutants.

mutmut and cosmic-ray do not fit in an hour: they err at each of the 1,150 operators and numbers of
these files, run one selection of tests for all, and know nothing of claims.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from mutants.mutant import Mutant
from mutants.table import MUTANTS
from mutants.witness import Testimony, hear

Case = tuple[Mutant | None, str]  # no mutant: the library as it is


def heard(cases: Sequence[Case]) -> Iterator[tuple[Case, Testimony]]:
    """Hear a witness in every case, as many at a time as there are cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from zip(cases, pool.map(lambda c: hear(c[1], c[0]), cases), strict=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", metavar="WORD", help="of files or names of mutants")
    only = parser.parse_args(arguments).only
    mutants = [m for m in MUTANTS if not only or any(word in str(m) for word in only)]
    if not mutants:
        parser.error(f"no mutant is named {' or '.join(only)}.")
    began, failed = time.monotonic(), []
    witnesses = dict.fromkeys(w for m in mutants for w in m.witnesses)
    cases = [(m, w) for m in mutants for w in m.witnesses]
    before: list[Case] = [(None, w) for w in witnesses]
    for (mutant, witness), (saw, seconds, words) in heard(before + cases):
        expected = mutant is not None
        verdict = {None: "CANNOT SAY", False: "SURVIVED", True: "killed"}[saw]
        if mutant is None:
            verdict = "holds" if saw is False else "FAILS"
        print(f"{verdict:10} {seconds:5.0f} s  {mutant or 'as it is'}  [{witness}]", flush=True)
        if saw is not expected:
            failed.append(f"{mutant or 'as it is'}  [{witness}]")
            print("" if saw is False else words[-3000:], flush=True)
    minutes = (time.monotonic() - began) / 60
    print(
        f"{len(mutants)} mutants, {len(cases)} trials, {minutes:.0f} min: {len(failed)} survivors"
    )
    print(*failed, sep="\n", end="\n" if failed else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
