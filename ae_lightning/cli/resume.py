"""What a resumed run takes from its checkpoint, and what may not have changed since."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ae_lightning.cli import composition
from ae_lightning.cli.command_line import LINKS
from ae_lightning.cli.composition import Tree
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import check_record, locate, to_plain
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_reading import RUN_CONFIG, recorded

PLAIN: Final = (type(None), bool, int, float, str, tuple, list)

# Where the data lie and how they are read, as against what they are. Of the rest, all of `trainer`
# and `checkpoints` may change: how long, on what and with what at its side the model is trained.
PLACES: Final = ("root", "path", "download", "in_memory", "num_workers")
MAY_CHANGE: Final = {f"data.{n}" for n in (*PLACES, "cache_dir", "max_cache_size")}


def former_config(run: Path, checkpoint: dict[str, Any]) -> tuple[Tree, str]:
    """The config that a run goes on with, and what is wrong with config.yaml if it is not that.

    It is the state's that the run goes on from, where config.yaml is lost or damaged.

    Raises:
        UsageError: where both are.
    """
    file, kept = run / run_directory.CONFIG, checkpoint.get(RUN_CONFIG)
    try:
        tree, wrong = composition.read(str(file)), ""
        if not {"model", "data"} <= tree.keys():
            wrong = f"{file} holds no whole config"
    except UsageError as error:
        if kept is None:
            raise
        tree, wrong = {}, str(error).rstrip(".") if file.exists() else f"{file} is lost"
    if not wrong or kept is None:
        return tree, ""
    check_record([kept.get("model"), kept.get("data")])
    return kept, wrong


def refuse_changes(given: Tree, checkpoint: dict[str, Any], file: Path) -> None:
    """Refuse to go on with another model or other data than a checkpoint's.

    Args:
        given: the records of model and data as they are configured now.
        checkpoint: what `file` holds.

    Raises:
        UsageError: with every difference by its name, and both its values.
    """
    former = recorded(checkpoint)
    found = dict(
        difference
        for section in ("model", "data")
        if section in former
        for difference in differences(section, former[section], given[section])
    )
    if found:
        each = "; ".join(f"{name} is {new}, and was {old}" for name, (new, old) in found.items())
        raise UsageError(f"{each} in {file}: a run goes on as it began, so start another for that.")


def differences(name: str, old: Any, new: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    """What differs between two records, by the name of the option that sets it.

    >>> list(differences("model", {"latent": 2}, {"latent": 3}))
    [('model.latent', ('3', '2'))]
    >>> one, other = ({"class_path": f"ae_lightning.{path}"} for path in ("nn.MLP", "nn.mlp.MLP"))
    >>> list(differences("model.encoder", one, other))
    []
    """
    if old == new or name in MAY_CHANGE:
        return
    if not (isinstance(old, dict) and isinstance(new, dict)) or (
        not composition.same_class(*(str(node.get("class_path")) for node in (old, new)))
    ):
        section, _, argument = name.partition(".")
        source = LINKS.get(section, {}).get(argument)
        yield source or name, (shown(new), shown(old))
        return
    if "class_path" in old:
        # What one record leaves out of an optimizer's arguments, another spells out.
        defaults = defaults_of(old["class_path"])
        old, new = ({**defaults, **node.get("init_args", {})} for node in (old, new))
    for key in {**old, **new}:
        yield from differences(f"{name}.{key}", old.get(key), new.get(key))


def defaults_of(class_path: str) -> dict[str, Any]:
    """The arguments that a class takes without being given them, as plain values."""
    parameters = inspect.signature(locate(class_path)).parameters.items()
    given = {name: p.default for name, p in parameters if p.default is not p.empty}
    return {name: to_plain(value) for name, value in given.items() if isinstance(value, PLAIN)}


def shown(value: Any) -> str:
    """A value in a sentence: a class by its name.

    >>> shown({"class_path": "torch.optim.Adam", "init_args": {}}), shown(None)
    ('Adam', 'none')
    """
    if isinstance(value, dict) and "class_path" in value:
        return str(value["class_path"]).rpartition(".")[2]
    return "none" if value is None else str(value)
