"""A mutant: a copy of the library with one small error, and who should see it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BESIDE = ("datamodules", "callbacks")  # setuptools maps these into ae_lightning
COPIED = ("ae_lightning", *BESIDE, "tests", "pyproject.toml", "README.md")

Table = Mapping[str, Sequence[tuple[str, ...]]]  # by file: name, before, after, witnesses …


class Mutant(NamedTuple):
    """One error: in `file`, `before`, which must stand there exactly once, is `after`.

    Args:
        witnesses: each must see it alone: a test file with pytest's options, below tests/, or
            "theory NAME", a claim.
    """

    file: str
    name: str
    before: str
    after: str
    witnesses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"

    def mutated(self) -> str:
        """Return the file's text with the error in it.

        Raises:
            ValueError: if `before` does not stand in the file exactly once: the code has moved.
        """
        text = (ROOT / self.file).read_text()
        if (times := text.count(self.before)) != 1:
            raise ValueError(f"{self}: {self.before!r} stands there {times} times, not once.")
        return text.replace(self.before, self.after)


def mutants_in(table: Table) -> Iterator[Mutant]:
    """The mutants of a table."""
    for file, rows in table.items():
        for name, before, after, *witnesses in rows:
            yield Mutant(file, name, before, after, tuple(witnesses))


def plant(folder: Path, mutant: Mutant | None = None) -> Path:
    """Copy the library and its tests to a folder, with an error in it if a mutant is given."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    for name in BESIDE:
        (folder / "ae_lightning" / name).symlink_to(folder / name)
    if mutant is not None:
        (folder / mutant.file).write_text(mutant.mutated())
    return folder
