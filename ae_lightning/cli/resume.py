"""Where a resumed run continues, with which config, and what may not have changed since."""

import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ae_lightning.cli import composition
from ae_lightning.cli.command_line import LINKS
from ae_lightning.core import config_files
from ae_lightning.core.addresses import RECORDED, withhold
from ae_lightning.core.config_files import Tree
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import check_record, part_class, to_plain
from ae_lightning.core.trust import classes_of, require_trusted
from ae_lightning.datamodules import PairDataModule
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_reading import fingerprint_of, read_checkpoint
from ae_lightning.training.checkpoint_schema import RUN_CONFIG

# Where the data lie and how they are read, not what they are. All of `trainer` and `checkpoints`
# may change too: how long the model is trained, on what devices, and with which callbacks.
PLACES: Final = ("root", "path", "download", "in_memory", "num_workers", "max_pixels")
MAY_CHANGE: Final = {f"data.{n}" for n in (*PLACES, "cache_dir", "max_cache_size")}


def goes_on(run: Path | None, resume: str | None) -> bool:
    """Whether a run is to be continued: "auto" starts it where none has left a config or a state.

    Raises:
        UsageError: if "auto" is given and no run is named.
    """
    if resume != "auto":
        return resume is not None
    if run is None:
        raise UsageError("--resume auto starts or continues a run: name it by --run DIR.")
    left = [run / run_directory.CONFIG, run / run_directory.CHECKPOINTS / run_directory.BEST]
    return any(map(Path.exists, [*left, *run_directory.states(run)]))


def state_to_resume(run: Path | None) -> tuple[Path | None, dict[str, Any], Tree, list[str]]:
    """Find the newest state of a run that verifies, and the run's config.

    Returns:
        The state, or None if the run was stopped before its first one; what it holds; the config;
        and lines to tell the user.

    Raises:
        UsageError: if no run is named, or the one that is cannot be continued.
    """
    if run is None:
        configs = Path("runs").glob(f"*/{run_directory.CONFIG}")
        newest = max(filter(Path.is_file, configs), key=os.path.getmtime, default=None)
        hint = f", such as --run {newest.parent}" if newest else " DIR"
        raise UsageError(f"--resume continues a run: name it by --run{hint}.")
    state, skipped = run_directory.newest_state(run_directory.require_run(run))
    if state is None and skipped:
        each = "; ".join(f"{file.name}: {wrong}" for file, wrong in skipped.items())
        folder = run / run_directory.CHECKPOINTS
        raise UsageError(f"{folder} holds only damaged states ({each}): remove it to start again.")
    news = [f"{file} is skipped: {wrong}." for file, wrong in skipped.items()]
    news.append(f"{run} continues from {state.name if state else 'its start'}")
    checkpoint = read_checkpoint(state) if state else {}
    config, wrong = former_config(run, checkpoint)
    if wrong and state:
        news.append(f"{wrong}: the config is taken from {state.name}")
    return state, checkpoint, config, news


def former_config(run: Path, checkpoint: dict[str, Any]) -> tuple[Tree, str]:
    """The config that a run continues with, and what is wrong with config.yaml if it is not that.

    If config.yaml is lost or damaged, it is the one that the state records.

    Raises:
        UsageError: if both are lost or damaged.
    """
    file, kept = run / run_directory.CONFIG, checkpoint.get(RUN_CONFIG)
    try:
        tree, wrong = config_files.read(str(file)), ""
        if not {"model", "data"} <= tree.keys():
            wrong = f"{file} is not a whole config"
    except UsageError as error:
        if kept is None:
            raise
        tree, wrong = {}, str(error).rstrip(".") if file.exists() else f"{file} is lost"
    if not wrong or kept is None:
        kept, wrong = tree, ""
    check_record([kept.get("model"), kept.get("data")])
    for name in classes_of(kept):
        require_trusted(name, run)
    return {key: withhold(v) if key == "data" else v for key, v in kept.items()}, wrong


def refuse_changes(given: Tree, former: Tree, file: Path) -> None:
    """Refuse to continue with another model or other data than a checkpoint's.

    Args:
        given: the records of model and data as they are configured now.
        former: those of the checkpoint.
        file: the checkpoint.

    Raises:
        UsageError: with every difference by its name, and both its values.
    """
    found: dict[str, tuple[str, str]] = {}
    for section, record in former.items():
        found |= differences(section, record, withhold(given[section]))
    _refuse(found, file)


def refuse_other_classes(given: Mapping[str, str], former: Tree, file: Path) -> None:
    """Refuse to continue with a model or data of another class, before one is built.

    Args:
        given: the class paths of model and data as they are configured now.
        former: the records that `file` holds.
    """
    found = {}
    for section, record in former.items():
        if not composition.same_class(given[section], record["class_path"]):
            found[section] = shown({"class_path": given[section]}), shown(record)
    _refuse(found, file)


def _refuse(found: Mapping[str, tuple[str, str]], file: Path) -> None:
    if found:
        each = "; ".join(f"{name} is {new}, and was {old}" for name, (new, old) in found.items())
        raise UsageError(
            f"{each} in {file}: a run continues as it began, so start another one for that."
        )


def refuse_other_data(
    data: PairDataModule, checkpoint: dict[str, Any], file: Path, data_changed: str
) -> None:
    """Refuse data that are not a checkpoint's, although they are configured alike.

    Args:
        data_changed: "accept" to use them all the same.

    Raises:
        UsageError: with what differs.
    """
    data.data_changed = "accept" if data_changed == "accept" else "refuse"
    data.require_same(fingerprint_of(checkpoint), str(file))


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
        # One record of an optimizer may leave out an argument that another spells out.
        defaults = defaults_of(old["class_path"])
        old, new = ({**defaults, **node.get("init_args", {})} for node in (old, new))
    for key in {**old, **new}:
        yield from differences(f"{name}.{key}", old.get(key), new.get(key))


def defaults_of(class_path: str) -> dict[str, Any]:
    """The default arguments of a class that are plain values."""
    parameters = inspect.signature(part_class(class_path)).parameters.items()
    given = {name: p.default for name, p in parameters if p.default is not p.empty}
    simple = (type(None), bool, int, float, str, tuple, list)
    return {name: to_plain(value) for name, value in given.items() if isinstance(value, simple)}


def shown(value: Any) -> str:
    """A value in a sentence: a class by its name.

    >>> shown({"class_path": "torch.optim.Adam", "init_args": {}}), shown(None)
    ('Adam', 'none')
    """
    if isinstance(value, dict) and "class_path" in value:
        return str(value["class_path"]).rpartition(".")[2]
    return "none" if value is None else str(value).removeprefix(RECORDED)
