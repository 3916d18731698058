"""Train a system on a data set, in a run directory."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from argparse import Namespace
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ae_lightning.callbacks import Report
from ae_lightning.cli import composition
from ae_lightning.cli.command_line import LINKS, CommandLine, listed
from ae_lightning.cli.loggers import fill_in, with_folders
from ae_lightning.cli.resume import former_config, refuse_changes
from ae_lightning.cli.summary import summary
from ae_lightning.core.distributed import first_process, launched_apart
from ae_lightning.core.errors import NonFiniteError, UsageError, nearest
from ae_lightning.training import run_directory
from ae_lightning.training.atomic import write_text
from ae_lightning.training.checkpoint_reading import RESUMING, RUN_CONFIG, read_checkpoint
from ae_lightning.training.checkpoint_writing import Checkpoints
from ae_lightning.training.compilation import Compilation
from ae_lightning.training.heartbeat import lost
from ae_lightning.training.metrics_csv import MetricsFile
from ae_lightning.training.signals import Interrupted, StopOnSignal
from ae_lightning.training.weights_and_biases import Tracking, WeightsAndBiases

LOG_INTERVAL = 50


class Bookkeeping(Callback):
    """Give loggers the whole config, and a log interval that an epoch is long enough for."""

    def __init__(self, config: dict[str, Any], given_interval: int | None) -> None:
        self.config, self.given_interval = config, given_interval

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.given_interval is not None:
            return
        batches = len(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        limit = trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * (limit or 1))
        trainer.log_every_n_steps = max(1, min(LOG_INTERVAL, batches))  # type: ignore[attr-defined]

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse before the first step what would fail after the first epoch."""
        known = [name for name in trainer.callback_metrics if name.startswith("val/")]
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitor = str(getattr(callback, "monitor", ""))
            if known and monitor.startswith("val") and monitor not in known:
                raise UsageError(
                    f"trainer.callbacks: the monitor of {type(callback).__name__} is {monitor}, "
                    f"which validation does not log: {nearest(monitor, known)}"
                )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[RUN_CONFIG] = self.config

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in trainer.loggers:
            logger.log_hyperparams(self.config)


class Fit(CommandLine):
    """Train, from the start or from a run's newest state.

    Raises:
        UsageError: where the options are wrong, or the run directory is not as they say.
    """

    def __init__(self, own: Namespace, flags: list[str]) -> None:
        trees = [composition.read(name) for name in own.config]
        self.run: Path | None = own.run
        self.state: Path | None = None
        self.checkpoint: dict[str, Any] = {}  # what it holds
        self.claim: run_directory.NewRun | None = None
        if own.resume:
            self._find_state()
            former, wrong = former_config(own.run, self.checkpoint)
            if wrong and self.state:
                self.say(f"{wrong}: the config is taken from {self.state.name}")
            trees.insert(0, former)
        try:
            super().__init__("fit", *with_folders(composition.compose(trees), flags), own)
        except BaseException:
            if self.claim is not None and not self._has_trained():
                self.claim.withdraw()
            raise

    def _find_state(self) -> None:
        if self.run is None:
            newest = max(
                Path("runs").glob(f"*/{run_directory.CONFIG}"), key=os.path.getmtime, default=None
            )
            hint = f", such as --run {newest.parent}" if newest else " DIR"
            raise UsageError(f"--resume goes on with a run: name it by --run{hint}.")
        self.state, passed = run_directory.newest_state(run_directory.require_run(self.run))
        if self.state is None and passed:
            each = "; ".join(f"{file.name}: {wrong}" for file, wrong in passed.items())
            folder = self.run / run_directory.CHECKPOINTS
            raise UsageError(
                f"{folder} holds damaged states only ({each}): remove it to train from the start."
            )
        for file, wrong in passed.items():
            self.say(f"{file} is passed over: {wrong}.")
        if self.state is not None:
            self.checkpoint = read_checkpoint(self.state)
        self.say(f"{self.run} goes on from {self.state.name if self.state else 'its start'}")

    def _has_trained(self) -> bool:
        trainer = getattr(self, "trainer", None)
        stepped = trainer is not None and trainer.global_step > 0
        return stepped or (self.run is not None and bool(run_directory.states(self.run)))

    # ------------------------------------------------------------- the run directory

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(Checkpoints, "checkpoints")
        parser.add_argument(
            "--compile", type=bool, default=False, help="Compile encoder and decoder."
        )
        parser.add_argument("--resume", type=bool, default=False, help="Go on with the run.")

    def before_instantiate_classes(self) -> None:
        trainer = self.settings.trainer
        if trainer.fast_dev_run or trainer.barebones:
            self.run = None
            return
        if not self.own.resume:
            self._settle_run()
        assert self.run is not None
        # Where nothing is a choice, as in check_val_every_n_epoch, it is kept too.
        chosen = {k for k, p in signature(Trainer).parameters.items() if p.default is not None}
        given = trainer.as_dict().items()
        self.given = {k: plain(v) for k, v in given if v is not None or k in chosen}
        trainer.default_root_dir = str(self.run)
        for logger in listed(trainer.logger):
            if line := fill_in(logger, self.run):
                self.say(line)

    def _settle_run(self) -> None:
        """Rank zero chooses the directory, and hands it on to the processes that it starts."""
        if not first_process() and run_directory.HANDED_ON in os.environ:
            self.run = Path(os.environ[run_directory.HANDED_ON])
        elif self.run is None and launched_apart():
            raise UsageError(
                "several processes need one directory: name it by --run DIR (where torchrun takes "
                "that for its own, put -- before fit)."
            )
        elif first_process():
            name = "-".join(short_name(self.settings[key].class_path) for key in ("model", "data"))
            self.claim = (
                run_directory.NewRun.numbered(name)
                if self.run is None
                else run_directory.NewRun(self.run)
            )
            self.run = self.claim.run
            os.environ[run_directory.HANDED_ON] = str(self.run)

    def instantiate_trainer(self, **ours: Any) -> Trainer:
        if self.run is None:
            return super().instantiate_trainer(logger=False)
        trainer = self._get(self.config_init, "trainer")
        callbacks: list[Callback] = [Bookkeeping(self.whole_config(), trainer.log_every_n_steps)]
        if not any(isinstance(c, Report) for c in listed(trainer.callbacks)):
            callbacks.append(Report())
        if self.settings.compile:
            self.say("encoder and decoder are compiled in the first steps, which takes a while")
            callbacks.append(Compilation())
        saves = trainer.enable_checkpointing is not False
        checkpoints = self._get(self.config_init, "checkpoints") if saves else None
        callbacks += [StopOnSignal(checkpoints), *listed(checkpoints)]
        if trainer.logger is not False:
            kept = self.checkpoint.get(RESUMING, {}).get("metrics_rows", 0)
            given = [] if trainer.logger is True else listed(trainer.logger)
            ours["logger"] = [MetricsFile(self.run, kept), *given]
            callbacks += [Tracking(one) for one in given if isinstance(one, WeightsAndBiases)]
        return super().instantiate_trainer(callbacks=callbacks, **ours)

    def after_instantiate_classes(self) -> None:
        if self.state is not None:
            given = {"model": self.model.record, "data": self.datamodule.record}
            refuse_changes(given, self.checkpoint, self.state)

    def whole_config(self) -> composition.Tree:
        """What `fit` needs to do the same again."""
        return {
            "seed_everything": self.settings.seed_everything,
            "trainer": self.given,
            "checkpoints": self.settings.checkpoints.as_dict(),
            "compile": self.settings.compile,
            "model": unlinked("model", self.model.record),
            "data": unlinked("data", self.datamodule.record),
        }

    # ------------------------------------------------------------------- training

    def fit(self, **arguments: Any) -> None:
        size = sum(p.numel() for p in self.model.parameters())
        where = f", in {self.run}" if self.run else ""
        names = type(self.model).__name__, type(self.datamodule).__name__
        self.say(f"{names[0]} ({size:,} parameters) on {names[1]}{where}")
        if self.run is not None and first_process():
            text = yaml.safe_dump(self.whole_config(), sort_keys=False)
            write_text(self.run / run_directory.CONFIG, text)
        try:
            self.trainer.fit(**arguments, ckpt_path=self.state)
        except SystemExit as end:  # Lightning's own too: before the first batch, or at a second ^C
            signum = end.signum if isinstance(end, Interrupted) else signal.SIGINT
            if isinstance(end, SIGTERMException):
                signum = signal.SIGTERM
            elif not self.trainer.interrupted:
                raise
            self._say_how_to_go_on(signum)
            sys.exit(128 + signum)
        except NonFiniteError as error:
            if not (self.run and run_directory.states(self.run)):
                raise
            hint = f"{self._to_go_on()} --trainer.gradient_clip_val 1"
            raise NonFiniteError(f"{error} For instance: {hint}") from error
        except RuntimeError as error:
            if lost(error):  # which has been said
                sys.exit(1)
            raise
        if self.run is not None and self.trainer.is_global_zero:
            if self.state and self.trainer.global_step == self.checkpoint["global_step"]:
                early = self.checkpoint.get(RESUMING, {}).get("should_stop")
                why = "it had stopped early" if early else "raise --trainer.max_epochs to train on"
                self.say(f"the run was complete: {why}")
            if run_directory.states(self.run):
                summary(self.run)

    def _say_how_to_go_on(self, signum: int) -> None:
        if self.run is None or (self.claim is not None and not self._has_trained()):
            self.say(f"stopped by {signal.Signals(signum).name}; nothing is kept")
        else:
            state = next(iter(run_directory.states(self.run)), None)
            where = (
                f"after step {run_directory.step_of(state)}" if state else "before its first state"
            )
            self.say(f"stopped by {signal.Signals(signum).name} {where}; to go on:")
            self.say(self._to_go_on())

    def _to_go_on(self) -> str:
        return f"ae-lightning fit --run {shlex.quote(str(self.run))} --resume"


def short_name(class_path: str) -> str:
    """The name of the shipped config whose class this is, or the class's own in lower case."""
    for name, file in composition.shipped().items():
        for section in ("model", "data"):
            node = composition.read(str(file)).get(section, {})
            if "class_path" in node and composition.same_class(node["class_path"], class_path):
                return name
    return class_path.rpartition(".")[2].lower()


def unlinked(target: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what follows from elsewhere: the config that it was made of."""
    arguments = {k: v for k, v in record["init_args"].items() if k not in LINKS[target]}
    return {"class_path": record["class_path"], "init_args": arguments}


def plain(value: Any) -> Any:
    """Settings as plain values, and as text where they are none."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
