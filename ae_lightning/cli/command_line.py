"""What fit, validate and test share: LightningCLI, strict and terse."""

import logging
import re
import sys
import warnings
from argparse import SUPPRESS, Namespace
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import jsonargparse
import torch
import yaml
from jsonargparse import set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.cli.formatting import HelpFormatter
from ae_lightning.cli.messages import (
    MARK,
    OneSentence,
    ParseFailure,
    blamed,
    is_too_large,
    known_failure,
    whole_numbers_first,
)
from ae_lightning.cli.presets import with_parts
from ae_lightning.cli.rules import check_settings
from ae_lightning.core.chatter import quieten
from ae_lightning.core.config_files import Tree
from ae_lightning.core.distributed import first_process
from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import path_of
from ae_lightning.core.memory import bounded_memory
from ae_lightning.core.printing import abandon_stdout, tell
from ae_lightning.core.trust import allowed, require_trusted
from ae_lightning.datamodules import PairDataModule
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.heartbeat import be_parent
from ae_lightning.training.private import importing_only
from ae_lightning.training.progress_bar import SparingProgressBar

# Lightning lets configs name files of other machines, which would be fetched.
set_parsing_settings(config_read_mode_fsspec_enabled=False)

# Arguments that no config sets, and where they come from.
LINKS = {
    "model": {"shape": "data.shape", "value_range": "data.value_range", "seed": "seed_everything"},
    "data": {"seed": "seed_everything"},
}


def terse() -> None:
    """Drop chatter, also after `show_warnings`, and make names in what stays fit to be printed."""
    quieten()
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(made_printable)
    # A run that is resumed has checkpoints already.
    warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")


def made_printable(record: logging.LogRecord) -> bool:
    """Escape in a message what no terminal shows."""
    record.msg = "\n".join(map(printable, record.getMessage().split("\n")))
    record.args = ()
    return True


class Parser(OneSentence, LightningArgumentParser):
    """Lightning's parser, which raises one sentence."""


class CommandLine(LightningCLI):
    """One command: configs already composed, then flags.

    Args:
        command: fit, validate or test.
        tree: the composed configs.
        flags: the flags, which override them.
        own: the options that were read before.
        strange: whether part of the configs is from a run or a checkpoint, which a stranger may
            have written: then only what is trusted is imported.
    """

    def __init__(
        self,
        command: str,
        tree: Tree,
        flags: list[str],
        own: Namespace,
        strange: bool = False,
    ) -> None:
        tree, flags = with_parts(tree, flags)
        self.command, self.own, self.strange = command, own, strange
        refuse_linked(tree, flags)
        terse()
        strict = {"allow_abbrev": False, "formatter_class": HelpFormatter}
        super().__init__(
            AutoEncoder,
            PairDataModule,
            save_config_callback=None,
            # Its own log of the model's record would lie beside the whole config.
            trainer_defaults={
                "inference_mode": False,
                "enable_model_summary": False,
                "enable_autolog_hparams": False,
            },
            parser_kwargs={**strict, command: strict},
            parser_class=Parser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=[command, "--config", yaml.safe_dump(tree), *flags],
        )

    # ------------------------------------------------------------------- parsing

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        data = {"datamodule", "train_dataloaders", "val_dataloaders", "dataloaders"}
        others = {"model", "ckpt_path", "verbose", "return_predictions", "weights_only"}
        return {self.command: data | others}

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        help = "The seed of the weights, the order of the data and the noise."
        parser.add_argument("--seed_everything", type=int, default=0, help=help)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for target, links in LINKS.items():
            for name, source in links.items():
                when = "parse" if source == "seed_everything" else "instantiate"
                given = self.fitting if name == "shape" else None
                place = f"{target}.init_args.{name}"
                parser.link_arguments(source, place, compute_fn=given, apply_on=when)
        # Read before this parser is built: here for --help, and to be found when misspelt.
        parser.add_argument("--run", type=str, default=SUPPRESS, help="The run's directory.")
        help = "A package whose classes a run or a checkpoint may name; repeatable."
        parser.add_argument("--trust", type=str, default=SUPPRESS, help=help)
        kind: Any = Literal["refuse", "accept"]
        help = "Whether to take data that are not those of the checkpoint."
        parser.add_argument("--data_changed", type=kind, default=SUPPRESS, help=help)
        parser.add_argument("--debug", type=bool, default=SUPPRESS, help="Show where errors arise.")

    def fitting(self, shape: Any) -> Any:
        """Return the data's shape for the model to be built for; a command may refuse it."""
        return shape

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        whole_numbers_first(parser)
        try:
            with importing_only(allowed()) if self.strange else nullcontext():
                self.config = parser.parse_args(args)
        except ParseFailure as failure:
            if denied := re.search("Importing '(.*?)' is not allowed", str(failure)):
                require_trusted(denied[1], "the run or its checkpoint")
            raise UsageError(str(failure).replace(MARK, "")) from failure
        with_homes(self.settings.trainer)
        check_settings(self.settings)

    def _parse_ckpt_path(self) -> None:
        """Do nothing: configs and flags override what a checkpoint records."""

    def _set_seed(self) -> None:
        seed_everything(self.settings.seed_everything, workers=True, verbose=False)

    @property
    def settings(self) -> Any:
        """The parsed options of this command."""
        return self.config[self.command]

    # ------------------------------------------------------------------ building

    def instantiate_classes(self) -> None:
        # A GPU's driver maps more than it takes.
        bounded = nullcontext() if torch.cuda.is_available() else bounded_memory()
        try:
            with bounded:
                super().instantiate_classes()
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            cause: BaseException = error
            while not isinstance(cause, UsageError) and cause.__cause__ is not None:
                cause = cause.__cause__
            if isinstance(cause, UsageError):
                raise UsageError(str(cause)) from error
            if sentence := known_failure(cause):
                trainer = {} if is_too_large(cause) else self.settings.trainer.as_dict()
                raise UsageError(blamed(sentence, trainer)) from error
            name = "" if isinstance(cause, ValueError | TypeError) else f"{type(cause).__name__}: "
            raise UsageError(name + " ".join(str(cause).split())) from error

    def instantiate_trainer(self, **ours: Any) -> Trainer:
        trainer = self._get(self.config_init, "trainer")
        callbacks = [*listed(trainer.callbacks), *ours.pop("callbacks", [])]
        bar = trainer.enable_progress_bar is not False and sys.stdout.isatty()
        if bar and not any(isinstance(c, ProgressBar) for c in callbacks):
            callbacks.append(SparingProgressBar())
        plugins = [*listed(trainer.plugins), AtomicCheckpointIO()]
        ours |= {"callbacks": callbacks, "enable_progress_bar": bar, "plugins": plugins}
        made = super().instantiate_trainer(**ours)
        if made.world_size > 1:
            be_parent()
        return made

    def say(self, *lines: str) -> None:
        """Print lines, on rank zero only; a full disk costs these, and not the training."""
        try:
            if first_process():
                tell(*lines)
        except BrokenPipeError:
            raise
        except OSError as error:
            abandon_stdout()
            warnings.warn(f"what is printed cannot be written: {error.strerror}.", stacklevel=2)


def listed(value: Any) -> list[Any]:
    """A value as a list: none, one or several.

    >>> listed(None), listed(1), listed([1, 2])
    ([], [1], [1, 2])
    """
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def with_homes(node: Any) -> Any:
    """Return Lightning's arguments with ~ as the home directory, which it takes as it is."""
    if isinstance(node, jsonargparse.Namespace):
        for name, value in vars(node).items():
            setattr(node, name, with_homes(value))
    elif isinstance(node, list):
        return [with_homes(value) for value in node]
    elif isinstance(node, str) and re.match(r"~$|~[^/]*/", node):
        return str(path_of(node))
    return node


def refuse_linked(tree: Tree, flags: list[str]) -> None:
    """Refuse configs and flags that set an argument that follows from something else."""
    for target, links in LINKS.items():
        node = tree.get(target)
        given = node.get("init_args") if isinstance(node, dict) else None
        for name, source in links.items():
            option = re.compile(rf"--{target}\.(init_args\.)?{name}(=|$)")
            if name in (given or {}) or any(map(option.match, flags)):
                raise UsageError(f"{target}.init_args.{name} cannot be set: it follows {source}.")


def unlinked(target: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without the arguments of `LINKS`: the config that it was made of."""
    arguments = {k: v for k, v in record["init_args"].items() if k not in LINKS[target]}
    return {"class_path": record["class_path"], "init_args": arguments}
