"""Where loggers write, and under which name."""

import inspect
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ae_lightning.core.config_files import Tree
from ae_lightning.core.distributed import first_process
from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import read_text, write_text
from ae_lightning.core.parts import locate
from ae_lightning.core.untrusted import inside
from ae_lightning.training.run_directory import RUN_ID
from ae_lightning.training.weights_and_biases import WeightsAndBiases, reason_for_offline

LONGEST_ID: Final = 1000  # bytes
RUN_FOLDER: Final = "<run>"  # stands for the run's directory until that is known


def with_folders(tree: Tree, flags: list[str]) -> tuple[Tree, list[str]]:
    """Give a folder to the loggers of configs and flags that need one and have none.

    >>> with_folders({}, ["--trainer.logger", "CSVLogger"])[1]
    ['--trainer.logger', 'CSVLogger', '--trainer.logger.save_dir=<run>']
    """
    trainer = tree.get("trainer")
    if isinstance(trainer, Mapping) and (given := trainer.get("logger")):
        several = isinstance(given, list)
        nodes = [with_folder(node) for node in (given if several else [given])]
        tree = {**tree, "trainer": {**trainer, "logger": nodes if several else nodes[0]}}
    for i, flag in enumerate(flags):
        option, equals, value = flag.partition("=")
        if option in ("--trainer.logger", "--trainer.logger.class_path"):
            told = any("logger." in f and f.partition("=")[0].endswith(".save_dir") for f in flags)
            if not told and needs_folder(value if equals else "".join(flags[i + 1 : i + 2])):
                return tree, [*flags, f"--trainer.logger.save_dir={RUN_FOLDER}"]
    return tree, flags


def with_folder(node: Any) -> Any:
    """A logger's config, with a folder if it needs one and has none."""
    node = {"class_path": node} if isinstance(node, str) and needs_folder(node) else node
    if not (isinstance(node, Mapping) and needs_folder(node.get("class_path"))):
        return node
    arguments = node.get("init_args") or {}
    return {**node, "init_args": {"save_dir": RUN_FOLDER, **arguments}}


def needs_folder(class_path: Any) -> bool:
    """Whether a logger of this class cannot be made without a folder to write into."""
    if not isinstance(class_path, str):
        return False
    path = class_path if "." in class_path else f"lightning.pytorch.loggers.{class_path}"
    try:
        folder = inspect.signature(locate(path)).parameters.get("save_dir")
    except Exception:  # the parser says what is wrong
        return False
    return folder is not None and folder.default is folder.empty


def fill_in(logger: Any, run: Path) -> str:
    """Fill in a logger's arguments for a run; return a line that says where its records go.

    W&B's id is kept in the run's directory, so that a resumed run keeps it.
    """
    arguments: Any = getattr(logger, "init_args", {})
    if "save_dir" in arguments and arguments.save_dir == RUN_FOLDER:
        arguments.save_dir = str(run)
    if not getattr(logger, "class_path", "").endswith(".WandbLogger"):
        return ""
    logger.class_path = f"{WeightsAndBiases.__module__}.{WeightsAndBiases.__name__}"
    arguments.upload, arguments.log_model = arguments.log_model, False
    inside(run, "wandb", run)  # where it writes, which must not be a link
    if arguments.id is None:
        arguments.id = recorded_id(run) or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
    arguments.save_dir = str(run)
    arguments.name = arguments.name or run.name
    if not first_process():
        return ""
    write_text(run / RUN_ID, arguments.id)
    why = "as told" if arguments.offline else reason_for_offline()
    if not why:
        mode = os.environ.get("WANDB_MODE")
        return f"Weights & Biases: run {arguments.id}" + f", {mode} as WANDB_MODE says" * bool(mode)
    arguments.offline = True
    os.environ.setdefault("WANDB_SILENT", "true")
    later = f"wandb sync {run}/wandb/offline-run-*"
    return f"Weights & Biases: run {arguments.id}, offline {why}; later: {later}"


def recorded_id(run: Path) -> str:
    """Return the id of a run's records at W&B, which names a folder there; "" if it has none.

    Raises:
        UsageError: if the file that holds it holds something else.
    """
    file = run / RUN_ID
    if not file.exists():
        return ""
    try:
        text = read_text(file, LONGEST_ID).strip()
        return text and inside(run, text.replace("/", "\\"), file).name
    except UsageError as error:
        raise UsageError(f"{str(error).rstrip('.')}; remove {file} for another id.") from None
