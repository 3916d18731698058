"""The shipped configs."""

from __future__ import annotations

from itertools import groupby

from ae_lightning.configs import headline, shipped

KINDS = ("system", "networks", "data", "extra")


def configs() -> None:
    """List the shipped configs, with a line each."""
    known = [(*headline(file), name) for name, file in shipped().items()]
    known.sort(key=lambda entry: KINDS.index(entry[0]))
    width = max(len(name) for *_, name in known)
    for kind, entries in groupby(known, key=lambda entry: entry[0]):
        print(kind)
        for _, text, name in entries:
            print(f"  {name:{width}}  {text}")
    print("\nThey add up from left to right: ae-lightning fit --config vae --config digits")
