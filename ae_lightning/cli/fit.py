"""Train a system on a data set, in a run directory."""

import os
import shlex
import signal
import sys
from argparse import SUPPRESS, Namespace
from functools import reduce
from inspect import signature
from operator import getitem
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ae_lightning.callbacks import Report
from ae_lightning.cli import composition, tuning
from ae_lightning.cli.bookkeeping import Bookkeeping, as_yaml
from ae_lightning.cli.command_line import CommandLine, listed, unlinked
from ae_lightning.cli.loggers import fill_in, with_folders
from ae_lightning.cli.options import options_in
from ae_lightning.cli.resume import (
    goes_on,
    refuse_changes,
    refuse_other_classes,
    refuse_other_data,
    state_to_resume,
)
from ae_lightning.cli.summary import summary
from ae_lightning.core import config_files
from ae_lightning.core.addresses import flags_naming
from ae_lightning.core.distributed import first_process, launched_apart
from ae_lightning.core.errors import NonFiniteError, UsageError, printable
from ae_lightning.core.files import path_of, write_text
from ae_lightning.core.trust import flags_trusting, trust_named
from ae_lightning.training import early_stopping, run_directory
from ae_lightning.training.batch_fitting import fit_or_hint
from ae_lightning.training.checkpoint_reading import recorded
from ae_lightning.training.checkpoint_schema import RESUMING
from ae_lightning.training.checkpoint_writing import Checkpoints
from ae_lightning.training.compilation import Compilation, Mode
from ae_lightning.training.heartbeat import lost
from ae_lightning.training.metrics_csv import MetricsFile
from ae_lightning.training.private import prepare_finder
from ae_lightning.training.run_directory import CONFIG, HANDED_ON, NewRun, states, step_of
from ae_lightning.training.run_lock import RunLock, await_first_rank, owner_of
from ae_lightning.training.signals import Interrupted, StopOnSignal, ended_by_sigterm
from ae_lightning.training.weights_and_biases import Tracking, WeightsAndBiases


class Fit(CommandLine):
    """Train, from the start or from a run's newest state.

    Raises:
        UsageError: if an option is wrong, or the run directory is not as the options say.
    """

    def __init__(self, own: Namespace, flags: list[str]) -> None:
        trees = [config_files.read(name) for name in own.config]
        trust_named([trees, flags])
        self.run: Path | None = own.run
        self.state: Path | None = None
        self.checkpoint: dict[str, Any] = {}  # what it holds
        self.resumed = goes_on(own.run, own.resume)
        if own.resume == "always" and any(o.name == "--init_from" for o in options_in(flags)):
            raise UsageError("--init_from starts a run, and --resume continues one: give one only.")
        self.claim: NewRun | None = None
        self.lock: RunLock | None = None  # which rank zero holds
        try:
            if self.resumed:
                self._hold_former_run()
                self.state, self.checkpoint, self.former, news = state_to_resume(own.run)
                if self.state is not None:
                    self.recorded = recorded(self.checkpoint, self.state)
                    whole = {
                        key: composition.merge(record, self.former.get(key) or {})
                        for key, record in self.recorded.items()
                    }
                    refuse_changes(whole, self.recorded, self.state)  # before anything is built
                for line in news:
                    self.say(line)
                trees.insert(0, self.former)
            tree, flags = with_folders(composition.compose(trees), flags)
            with ended_by_sigterm():
                super().__init__("fit", tree, flags, own, strange=self.resumed)
        except BaseException:
            if self.claim is not None and not self._has_trained():
                self.claim.withdraw()
            raise
        finally:
            if self.lock is not None:
                self.lock.release()
                os.environ.pop(HANDED_ON, None)

    def _has_trained(self) -> bool:
        trainer = getattr(self, "trainer", None)
        stepped = trainer is not None and trainer.global_step > 0
        return stepped or (self.run is not None and bool(states(self.run)))

    # ------------------------------------------------------------- the run directory

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_class_arguments(Checkpoints, "checkpoints")
        parser.add_argument(
            "--compile",
            type=bool | Mode,
            default=False,
            help="Compile encoder and decoder; reduce-overhead also records CUDA graphs of them.",
        )
        help = "Start from the weights of this checkpoint or run, as far as they fit."
        parser.add_argument("--init_from", type=str | None, default=None, help=help)
        help = "Continue the run in --run; auto: or start it, if there is none."
        parser.add_argument("--resume", type=str, default=SUPPRESS, help=help)

    def before_instantiate_classes(self) -> None:
        if self.settings.init_from is not None:
            self.settings.init_from = str(path_of(self.settings.init_from, "init_from").absolute())
        trainer = self.settings.trainer
        if trainer.fast_dev_run or trainer.barebones:
            self.run = None
            return
        if not self.resumed:
            self._settle_run()
        elif self.state is not None:
            classes = {key: self.settings[key].class_path for key in self.recorded}
            refuse_other_classes(classes, self.recorded, self.state)
        assert self.run is not None
        # Keep null too if it is a choice, as in check_val_every_n_epoch.
        chosen = {k for k, p in signature(Trainer).parameters.items() if p.default is not None}
        given = trainer.as_dict().items()
        self.given = {k: as_yaml(v) for k, v in given if v is not None or k in chosen}
        trainer.default_root_dir = str(self.run)
        for logger in listed(trainer.logger):
            if line := fill_in(logger, self.run):
                self.say(line)

    def _hold_former_run(self) -> None:
        """Let rank zero hold the run that goes on, on behalf of the processes that it starts."""
        if self.run is None or (not first_process() and HANDED_ON in os.environ):
            return
        run_directory.require_run(self.run)
        if first_process():
            self.lock = run_directory.hold(self.run)
            os.environ[HANDED_ON] = str(self.run)
        else:
            await_first_rank(self.run)

    def _settle_run(self) -> None:
        """Let rank zero choose the directory, and hand it on to the processes that it starts."""
        if not first_process() and HANDED_ON in os.environ:
            self.run = Path(os.environ[HANDED_ON])
        elif self.run is None and launched_apart():
            raise UsageError(
                "several processes need one directory: name it by --run DIR (if torchrun takes "
                "that for its own option, put -- before fit)."
            )
        elif first_process():
            classes = (self.settings[key].class_path for key in ("model", "data"))
            name = "-".join(map(composition.short_name, classes))
            self.claim = NewRun.numbered(name) if self.run is None else NewRun(self.run)
            self.run, self.lock = self.claim.run, self.claim.lock
            os.environ[HANDED_ON] = str(self.run)
        elif self.run is not None:
            if not owner_of(self.run):
                run_directory.refuse_contents(self.run)
            await_first_rank(self.run)

    def instantiate_classes(self) -> None:
        """Build model, data and trainer, and again with each value that a finder finds."""
        super().instantiate_classes()
        for finder in tuning.finders(self.trainer):
            if self.resumed:
                place = prepare_finder(finder)
                self.settings[place] = kept = reduce(getitem, place.split("."), self.former)
                self.say(f"{type(finder).__name__} is left out: it has found {kept:.6g}")
            elif self.run is not None:
                place, value = tuning.find(finder, self.model, self.datamodule, self._plain_trainer)
                self.settings[place] = value
                option = place.replace("init_args.", "")
                self.say(f"{type(finder).__name__} has found --{option} {value:.6g}")
        if tuning.finders(self.trainer):
            self._leave_out_finders()
            self._set_seed()
            super().instantiate_classes()

    def _leave_out_finders(self) -> None:
        given = listed(self.settings.trainer.callbacks)
        self.settings.trainer.callbacks = [c for c in given if not tuning.makes_finder(c)]
        if self.run is not None:
            self.given["callbacks"] = as_yaml(self.settings.trainer.as_dict()["callbacks"])

    def _plain_trainer(self, **given: Any) -> Trainer:
        """Make a trainer as it is configured, except that it keeps nothing and has time."""
        keeps = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
        ends = {"max_epochs": 10_000, "max_steps": -1, "max_time": None}
        return Trainer(**{**self._get(self.config_init, "trainer"), **keeps, **ends, **given})

    def instantiate_trainer(self, **ours: Any) -> Trainer:
        if self.run is None:
            return super().instantiate_trainer(logger=False)
        trainer = self._get(self.config_init, "trainer")
        callbacks: list[Callback] = [Bookkeeping(self.whole_config(), trainer.log_every_n_steps)]
        if not any(isinstance(c, Report) for c in listed(trainer.callbacks)):
            callbacks.append(Report())
        if self.settings.compile:
            self.say("compiling encoder and decoder in the first steps, which takes a while")
            mode = None if self.settings.compile is True else self.settings.compile
            callbacks.append(Compilation(mode=mode))
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
            refuse_changes(given, self.recorded, self.state)
            refuse_other_data(self.datamodule, self.checkpoint, self.state, self.own.data_changed)
        elif (source := self.settings.init_from) is not None:
            left = self.model.init_from(source)
            what = f"but for {', '.join(left)}" if left else "all of them"
            self.say(printable(f"weights from {source}: {what}"))

    def whole_config(self) -> config_files.Tree:
        """What `fit` needs to do the same again."""
        source = self.settings.init_from
        return ({} if source is None else {"init_from": source}) | {
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
        model, data = type(self.model).__name__, type(self.datamodule).__name__
        where = f", in {self.run}" if self.run else ""
        self.say(f"{model} ({size:,} parameters) on {data}{where}")
        if self.run is not None and first_process():
            text = yaml.safe_dump(self.whole_config(), sort_keys=False)
            write_text(self.run / CONFIG, text)
        try:
            fit_or_hint(self.trainer, **arguments, ckpt_path=self.state)
        except SystemExit as end:  # Lightning's too, before the first batch or at a second ^C
            signum = end.signum if isinstance(end, Interrupted) else signal.SIGINT
            if isinstance(end, SIGTERMException):
                signum = signal.SIGTERM
            elif not self.trainer.interrupted:
                raise
            self._say_how_to_continue(signum)
            sys.exit(128 + signum)
        except NonFiniteError as error:
            if not (self.run and states(self.run)):
                raise
            hint = f"{self._to_continue()} --trainer.gradient_clip_val 1"
            raise NonFiniteError(f"{error} For instance: {hint}") from error
        except RuntimeError as error:
            if lost(error):  # and has been reported
                sys.exit(1)
            raise
        if self.run is not None and self.trainer.is_global_zero:
            self._say_why_it_ended()
            if states(self.run):
                summary(self.run)

    def _say_why_it_ended(self) -> None:
        early = early_stopping.stopped_early(self.trainer)
        if self.state and self.trainer.global_step == self.checkpoint["global_step"]:
            raises = f"raise {early_stopping.limits(self.trainer)} to train on"
            why = f"it had stopped early, since {early}" if early else raises
            self.say(f"the run was complete: {why}")
        elif early:
            self.say(f"training stopped early, since {early}")

    def _say_how_to_continue(self, signum: int) -> None:
        stopped = f"stopped by {signal.Signals(signum).name}"
        if self.run is None or (self.claim is not None and not self._has_trained()):
            self.say(f"{stopped}; nothing is kept")
        else:
            found = states(self.run)
            where = f"after step {step_of(found[0])}" if found else "before its first state"
            self.say(f"{stopped} {where}; to continue:", self._to_continue())

    def _to_continue(self) -> str:
        flags = flags_trusting(self.whole_config()), flags_naming(self.datamodule.arguments)
        run = f"ae-lightning fit --run {shlex.quote(str(self.run))} --resume"
        return " ".join([run, *filter(None, flags)])
