"""Whose code a file may name: this package's, torch's optimizers, Lightning's, and a user's own.

A checkpoint and a run name classes. Importing a module runs it, so no name of theirs is imported
that does not lie within these.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ae_lightning.core.errors import UsageError, printable

OURS: Final = ("ae_lightning", "torch.optim", "lightning.pytorch")

_trusted: set[str] = set()


def trust(name: str) -> None:
    """Let checkpoints and runs name the classes of a package, of a module, or one class.

    Args:
        name: a dotted name, such as "my_lab" or "my_lab.penalties".

    Raises:
        UsageError: if it is not a dotted name.
    """
    if not dotted(name, least=1):
        raise UsageError(f"{printable(repr(name), 80)} is no module, to be trusted.")
    _trusted.add(name)


def trust_named(node: Any) -> None:
    """Trust the modules of all classes that a user's own config or flag names.

    A class begins with a capital, unlike the end of a file's name.
    """
    if isinstance(node, Mapping):
        node = list(node.values())
    if isinstance(node, str):
        name = node.partition("=")[2] if node.startswith("--") else node
        module, _, last = name.rpartition(".")
        if dotted(name, least=2) and last[0].isupper():
            _trusted.add(module)
    elif isinstance(node, Iterable):
        for inner in node:
            trust_named(inner)


def classes_of(node: Any) -> Iterator[object]:
    """All class paths of a config or a record."""
    if isinstance(node, Mapping):
        if "class_path" in node:
            yield node["class_path"]
        node = node.values()
    elif not isinstance(node, list):
        return
    for inner in node:
        yield from classes_of(inner)


def flags_trusting(node: Any) -> str:
    """The options without which a run of this config is not resumed.

    >>> flags_trusting([{"class_path": "my_lab.Slowness"}, {"class_path": "torch.optim.SGD"}])
    '--trust my_lab'
    """
    names = [name for name in map(str, classes_of(node)) if not within(name, OURS)]
    packages = dict.fromkeys(name.partition(".")[0] for name in names)
    return " ".join(f"--trust {package}" for package in packages)


def allowed() -> list[str]:
    """All packages, modules and classes that a file may name."""
    return [*OURS, *sorted(_trusted)]


def is_trusted(name: str) -> bool:
    """Whether a file may name a module or a class, by its text alone."""
    return dotted(name, least=1) and within(name, allowed())


def within(name: str, modules: Iterable[str]) -> bool:
    """Whether a dotted name is one of several, or lies in one."""
    return any(f"{name}.".startswith(f"{module}.") for module in modules)


def require_trusted(name: object, source: object = "a checkpoint") -> None:
    """Refuse the name of a class, by its text alone.

    Raises:
        UsageError: if it lies within none of what is trusted, with what would allow it.

    >>> require_trusted("their_lab.Slowness", "config.yaml")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: config.yaml names their_lab.Slowness, which is not of ...
    """
    if not (isinstance(name, str) and dotted(name, least=2)):
        raise UsageError(f"{source} names {printable(repr(name), 80)}: expected a class's path.")
    if not is_trusted(name):
        package = name.partition(".")[0]
        raise UsageError(
            f"{source} names {printable(name, 80)}, which is not of this package and could run any "
            f"code: if you trust it, add --trust {printable(package, 40)} (in Python, "
            f'ae_lightning.trust("{printable(package, 40)}")).'
        )


def dotted(name: str, least: int) -> bool:
    """Whether text is so many names or more, joined by dots; none of Python's own, as __main__."""
    parts = name.split(".")
    return len(parts) >= least and all(p.isidentifier() and p[:2] != "__" for p in parts)
