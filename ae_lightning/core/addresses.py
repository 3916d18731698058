"""Addresses far away, which are fetched only if this call names them, and not merely a file.

A checkpoint records where its data lay, and a stranger's checkpoint records what it likes. So what
a file records is withheld: marked, until a flag or a config of this call puts something else in its
place. A DataModule refuses what is still marked.
"""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ae_lightning.core.errors import UsageError, printable

LOCAL: Final = "local:"  # begins a folder on this machine that is fetched as if it were far away
RECORDED: Final = "recorded, not named: "  # begins what is withheld
WRITTEN: Final = "cache_dir"  # the argument that says where what is fetched is written


def is_remote(address: str) -> bool:
    """Whether an address is not of this machine's files, or is to be treated so.

    >>> [is_remote(a) for a in ("s3://bucket/photos", "local:/media/photos", "photos")]
    [True, True, False]
    """
    return "://" in address or address.removeprefix(RECORDED).startswith(LOCAL)


def withhold(record: Any, name: str = "") -> Any:
    """Return a record in which remote addresses, and the folder to fetch into, are marked.

    >>> withhold({"path": "s3://bucket/photos", "window": 16})
    {'path': 'recorded, not named: s3://bucket/photos', 'window': 16}
    """
    if isinstance(record, Mapping):
        return {key: withhold(value, key) for key, value in record.items()}
    if isinstance(record, list):
        return [withhold(value, name) for value in record]
    marked = isinstance(record, str) and (name == WRITTEN or is_remote(record))
    return RECORDED + record.removeprefix(RECORDED) if marked else record


def require_named(arguments: Mapping[str, Any]) -> None:
    """Refuse a DataModule's arguments that are still marked.

    Raises:
        UsageError: with the flags that would allow them.
    """
    if flags := _flags(arguments):
        raise UsageError(
            "the data are recorded elsewhere, and are fetched only if this call names them: give "
            f"{printable(flags, 240)} (to plot: --data CONFIG, a config that does)."
        )


def flags_naming(arguments: Mapping[str, Any]) -> str:
    """The flags that name the remote addresses in a DataModule's arguments, if it has any.

    >>> flags_naming({"path": "s3://bucket/photos", "window": 16})
    '--data.path s3://bucket/photos'
    """
    return _flags(withhold(arguments))


def _flags(arguments: Mapping[str, Any]) -> str:
    return " ".join(f"--{name} {shlex.quote(text)}" for name, text in _marked(arguments, "data"))


def _marked(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _marked(inner, f"{name}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _marked(inner, name)
    elif isinstance(value, str) and value.startswith(RECORDED):
        yield name, value.removeprefix(RECORDED)
