"""validate and test: run a checkpoint, which holds all that they need."""

import re
from argparse import SUPPRESS, Namespace
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from ae_lightning.cli import composition
from ae_lightning.cli.command_line import CommandLine, listed, unlinked
from ae_lightning.cli.loggers import fill_in, with_folders
from ae_lightning.cli.resume import refuse_other_data
from ae_lightning.core import config_files
from ae_lightning.core.errors import UsageError
from ae_lightning.core.printing import tell
from ae_lightning.core.trust import trust_named
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_reading import read_checkpoint, recorded
from ae_lightning.training.checkpoint_weights import check_weights


class Evaluate(CommandLine):
    """Run one of the two on the model and data that a checkpoint records.

    Raises:
        UsageError: if there is no such checkpoint, or the options do not fit it.
    """

    def __init__(self, command: str, own: Namespace, flags: list[str]) -> None:
        if any(re.match(r"-h$|--(.*\.)?help(=|$)", flag) for flag in flags):  # needs no checkpoint
            super().__init__(command, {}, flags, own)
        self.file = chosen(command, own, flags)
        trees = [config_files.read(name) for name in own.config]
        trust_named([trees, flags])
        self.checkpoint = read_checkpoint(self.file)
        self.recorded = recorded(self.checkpoint, self.file)
        base = {key: unlinked(key, record) for key, record in self.recorded.items()}
        base["seed_everything"] = self.recorded["model"]["init_args"].get("seed", 0)
        tree = composition.compose([base, *trees])
        super().__init__(command, *with_folders(tree, flags), own, strange=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--ckpt_path", type=str, default=SUPPRESS, help="The checkpoint.")

    def before_instantiate_classes(self) -> None:
        if self.settings.trainer.logger is None:
            self.settings.trainer.logger = False
        self.settings.trainer.enable_checkpointing = False
        for logger in listed(self.settings.trainer.logger):
            if line := fill_in(logger, run_directory.folder_of(self.file)):
                self.say(line)

    def fitting(self, shape: Any) -> Any:
        recorded = self.recorded["model"]["init_args"]["shape"]
        if list(shape) != list(recorded):
            raise UsageError(
                f"{self.file} holds a model for data of shape {tuple(recorded)}, and these are "
                f"of shape {tuple(shape)}."
            )
        return shape

    def after_instantiate_classes(self) -> None:
        """Load the weights into the model, which configs and flags may have changed."""
        refuse_other_data(self.datamodule, self.checkpoint, self.file, self.own.data_changed)
        check_weights(self.model, self.checkpoint["state_dict"], self.file)
        self.model.on_load_checkpoint(self.checkpoint)
        self.model.load_state_dict(self.checkpoint["state_dict"])

    def validate(self, **arguments: Any) -> None:
        """Print the figures of the validation set."""
        self._report(self.trainer.validate(verbose=False, **arguments)[0])

    def test(self, **arguments: Any) -> None:
        """Print the figures of the test set."""
        self._report(self.trainer.test(verbose=False, **arguments)[0])

    def _report(self, figures: Mapping[str, float]) -> None:
        if not self.trainer.is_global_zero:
            return
        shown = {name: value for name, value in figures.items() if "/rate_" not in name}
        tell(self.file, *(f"  {name:20} {value:.6g}" for name, value in shown.items()))


def chosen(command: str, own: Namespace, flags: list[str]) -> Path:
    """The checkpoint that the options name.

    Raises:
        UsageError: if they name none, or two.
    """
    if (own.run is None) == (own.ckpt_path is None):
        names = [f.partition("=")[0] for f in flags if f.startswith("--")]
        wrong = [n for n in names if get_close_matches(n, ["--ckpt_path", "--run"])]
        hint = f"; {wrong[0]} is not an option" if wrong else ""
        raise UsageError(f"{command} needs one of --ckpt_path FILE and --run DIR{hint}.")
    file: Path = own.ckpt_path or run_directory.best_checkpoint(own.run)
    return file
