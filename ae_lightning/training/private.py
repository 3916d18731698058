"""All that is taken from inside Lightning, jsonargparse and torch, since none offers it in public.

But for `uncompiled`, which is needed where Lightning is not.

Each is looked for when this is imported, so that a release that has moved one is named before a
training; tests/training/test_private.py looks whether each still means what it did.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import torch
from jsonargparse import set_parsing_settings
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    ModelCheckpoint,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from ae_lightning.core.private_names import private

Handler = Callable[[int, FrameType | None], None]
LOGGED: Final = ("_callback_metrics", "_logged_metrics", "_progress_bar_metrics")
UNSAVED: Final = ("_last_global_step_saved", "_defer_save_until_validation")
PL: Final = "lightning.pytorch"
CONNECTORS: Final = f"{PL}.trainer.connectors"
USED: Final = (
    (f"{PL}:Trainer", "_signal_connector", "_logger_connector"),
    (f"{CONNECTORS}.signal_connector:_SignalConnector", "_sigterm_notifier_fn"),
    (f"{CONNECTORS}.logger_connector.logger_connector:_LoggerConnector", "log_metrics", *LOGGED),
    (f"{PL}.loops.fit_loop:_FitLoop", "epoch_loop", "epoch_progress"),
    (f"{PL}.loops.training_epoch_loop:_TrainingEpochLoop", "_batches_that_stepped"),
    (f"{PL}.loops.training_epoch_loop:_TrainingEpochLoop", "batch_progress", "val_loop"),
    (f"{PL}.loops.evaluation_loop:_EvaluationLoop", "batch_progress"),
    (f"{PL}:LightningModule", "_trainer"),
    (f"{PL}.cli:LightningCLI", "_get", "_set_seed", "_parse_ckpt_path"),
    (f"{PL}.strategies:DDPStrategy", "_ddp_kwargs"),
    (f"{PL}.strategies:ModelParallelStrategy", "_data_parallel_size"),
    (f"{PL}.strategies.launchers:_SubprocessScriptLauncher", "procs", "kill"),
    (f"{PL}.callbacks:StochasticWeightAveraging", "_scheduler_state"),
    (f"{PL}.callbacks:EarlyStopping", "_check_on_train_epoch_end"),
    (f"{PL}.callbacks:Timer", "_duration", "_interval"),
    (f"{PL}.callbacks:ModelCheckpoint", *UNSAVED),
    (f"{PL}.callbacks:BatchSizeFinder", "_early_exit", "_batch_arg_name"),
    (f"{PL}.callbacks:LearningRateFinder", "_early_exit", "_update_attr"),
    (f"{PL}.loggers:WandbLogger", "_wandb_init", "_experiment"),
    ("torch", "_amp_foreach_non_finite_check_and_unscale_"),
    ("torch.optim:Adam", "_step_supports_amp_scaling"),
)
for place, *names in USED:
    private(place, *names)
parsing_settings: dict[str, Any] = private(
    "jsonargparse._common:parsing_settings", "import_path_verdicts", "import_paths_enforced"
)


def replace_sigterm_handler(trainer: Trainer, handler: Handler) -> None:
    """Have Lightning install this handler of SIGTERM instead of its own.

    Lightning's own waits for the other processes, which know nothing of the signal, and no hook
    comes between its installation and the first batch.
    """
    connector: Any = trainer._signal_connector
    connector._sigterm_notifier_fn = handler


def find_unused_parameters(strategy: Strategy) -> None:
    """Let DDP skip parameters that get no gradient; otherwise it hangs.

    DDPStrategy takes this as an argument only, and a strategy may be made before its model is.
    """
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def set_data_parallel_size(strategy: ModelParallelStrategy, processes: int) -> None:
    """Split the batch over this many processes.

    ModelParallelStrategy takes this as an argument only, and its "auto" is the number of nodes.
    """
    strategy._data_parallel_size = processes


Logged = dict[str, dict[str, Any]]


def last_logged(trainer: Trainer) -> Logged:
    """Return the last value of every metric that callbacks, loggers and progress bar were given.

    Lightning saves none of them, though a callback may read one long after it was logged.
    """
    return {name: dict(getattr(trainer._logger_connector, name)) for name in LOGGED}


def restore_logged(trainer: Trainer, logged: Logged) -> None:
    """Give callbacks, loggers and progress bar what `last_logged` has returned."""
    for name in LOGGED:
        getattr(trainer._logger_connector, name).update(logged.get(name, {}))


def restore_averaging(trainer: Trainer, model: LightningModule) -> None:
    """Have SWA continue where it stood: in `on_train_start` of a resumed run.

    Left alone, it does so at the next epoch's start, and at another learning rate.
    """
    for swa in trainer.callbacks:  # type: ignore[attr-defined]
        state = getattr(swa, "_scheduler_state", None)
        if not isinstance(swa, StochasticWeightAveraging) or state is None:
            continue
        if swa.swa_start <= trainer.current_epoch <= swa.swa_end:
            swa.on_train_epoch_start(trainer, model)
            groups = trainer.optimizers[0].param_groups
            for group, lr in zip(groups, state["_last_lr"], strict=True):
                group["lr"] = lr


def count_steps_done(trainer: Trainer, lr: Callable[[], float]) -> None:
    """Have loggers count optimizer steps as checkpoints and pictures do: those that are done.

    Lightning's own count lags by one, except in what callbacks log by themselves. The learning rate
    is logged with the next row of training once it has changed.
    """
    connector: Any = trainer._logger_connector
    loop: Any = trainer.fit_loop.epoch_loop
    log = type(connector).log_metrics

    def log_metrics(metrics: dict[str, Any], step: int | None = None) -> None:
        if trainer.training and metrics and connector._logged_metrics.get("lr") != lr():
            metrics = {**metrics, "lr": lr()}
        lagging = loop._batches_that_stepped
        loop._batches_that_stepped = trainer.global_step
        try:
            log(connector, metrics, step)
        finally:
            loop._batches_that_stepped = lagging

    connector.log_metrics = log_metrics


def can_skip(optimizer: Optimizer) -> bool:
    """Whether an optimizer leaves out a step by itself, as a fused one of torch's does."""
    return getattr(optimizer, "_step_supports_amp_scaling", False)


def skip_if(optimizer: Optimizer, flag: Tensor) -> None:
    """Have an optimizer that can leave out its step if the flag is 1, which stays on the device.

    This is how torch's GradScaler tells it. The flag is no part of the optimizer's state.
    """
    optimizer.found_inf = flag  # type: ignore[attr-defined]


def flag_non_finite(flag: Tensor, tensors: Sequence[Tensor]) -> None:
    """Set a flag to 1 if an element of any tensor is not finite, in one kernel and without a wait.

    GradScaler's own, which also divides by a scale: here by 1, which changes nothing.
    """
    torch._amp_foreach_non_finite_check_and_unscale_(list(tensors), flag, torch.ones_like(flag))


def given_arguments(callback: Callback) -> dict[str, Any]:
    """Return the arguments of a callback of Lightning's, by name.

    Lightning keeps some under their names, and others, such as a Timer's duration, hidden.
    """
    names = inspect.signature(type(callback)).parameters
    return {n: getattr(callback, n, getattr(callback, f"_{n}", None)) for n in names}


def unsaved(callback: ModelCheckpoint) -> list[int]:
    """Return the step that it saved last, and whether it waits for a validation to save again."""
    return [int(getattr(callback, name)) for name in UNSAVED]


def restore_unsaved(callback: ModelCheckpoint, values: Sequence[int]) -> None:
    """Give it again what `unsaved` has returned, which Lightning neither saves nor loads."""
    for name, value in zip(UNSAVED, values, strict=True):
        setattr(callback, name, value)


def prepare_finder(finder: BatchSizeFinder | LearningRateFinder) -> str:
    """Have a finder end training once it has found its value; return the place of that setting."""
    finder._early_exit = True
    if isinstance(finder, BatchSizeFinder):
        return f"data.init_args.{finder._batch_arg_name}"
    finder._update_attr = False  # it would look for an attribute of the model
    return "model.init_args.optimizer.init_args.lr"


def init_arguments(logger: WandbLogger) -> dict[str, Any]:
    """Return what Lightning will call `wandb.init` with, to be changed in place.

    WandbLogger always passes `anonymous`, which wandb warns of, and takes no changes after it is
    made, such as to go on offline.
    """
    return logger._wandb_init


def opened_run(logger: WandbLogger) -> Any:
    """Return the run of W&B if one is open; `logger.experiment` would open one."""
    return logger._experiment


@contextmanager
def importing_only(names: list[str]) -> Iterator[None]:
    """Let the parser import only these packages, modules and classes.

    jsonargparse has no way back from a denied path.
    """
    former = dict(parsing_settings)
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=names)
    try:
        yield
    finally:
        parsing_settings.update(former)
