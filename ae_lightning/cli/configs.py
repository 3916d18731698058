"""The shipped configs."""

import sys
from itertools import groupby

from ae_lightning.core.config_files import kind_and_purpose, shipped, shipped_sweeps
from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.printing import LONGEST_LINE, beside, tell

ORDER_OF_KINDS = ("system", "networks", "data", "extra", "recipe")


def configs(name: str | None = None) -> None:
    """List the shipped configs, a line each, or print one of them.

    Args:
        name: the config, or the sweep, to print.

    Raises:
        UsageError: if there is none of that name.
    """
    if name is not None:
        files = shipped() | shipped_sweeps()
        if name not in files:
            raise UsageError(f"there is no shipped config {name}: {nearest(name, files)}")
        tell(*files[name].read_text(encoding="utf-8").splitlines())
        return
    known = [(*kind_and_purpose(file), name) for name, file in shipped().items()]
    known.sort(key=lambda entry: ORDER_OF_KINDS.index(entry[0]))
    left = max(len(name) for *_, name in known) + 4
    columns = None if sys.stdout.isatty() else LONGEST_LINE  # a line each, for grep
    for kind, entries in groupby(known, key=lambda entry: entry[0]):
        tell(kind)
        tell(*beside({name: text for _, text, name in entries}, left, columns))
    tell("sweep", f"  {', '.join(shipped_sweeps())}: print it by ae-lightning configs NAME", "")
    tell("They add up from left to right: ae-lightning fit --config vae --config digits")
    tell("A recipe is a whole experiment: ae-lightning fit --config recipes/pca")
