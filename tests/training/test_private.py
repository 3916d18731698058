"""Every private thing of a library that we lean on is where it was, and does its work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ae_lightning.training import private, uncompiled
from ae_lightning.training.sharding import FullySharded


def compiled() -> nn.Module:
    module = nn.Linear(1, 1)
    module.compile(backend="eager")
    return module


def launcher() -> Any:
    from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

    environment: Any = SimpleNamespace(creates_processes_externally=False)
    return _SubprocessScriptLauncher(environment, num_processes=2, num_nodes=1)


def sigterm(trainer: Trainer) -> Any:
    return trainer._signal_connector._sigterm_notifier_fn


def skips(flag: float, kind: type[Optimizer]) -> bool:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optimizer = kind([p], fused=True)
    private.skip_if(optimizer, torch.tensor(float(flag)))
    optimizer.step()
    return private.can_skip(optimizer) and torch.equal(p, torch.ones(2))


def flag_of(*tensors: list[float]) -> float:
    flag = torch.zeros(())
    private.flag_non_finite(flag, [torch.tensor(t) for t in tensors])
    return flag.item()


# What of which library, and whether it is there with the meaning that we rely on.
NEEDED: dict[tuple[str, str], Callable[[], bool]] = {
    ("lightning", "Trainer._signal_connector._sigterm_notifier_fn"): lambda: callable(
        sigterm(Trainer(logger=False, accelerator="cpu"))
    ),
    ("lightning", "DDPStrategy._ddp_kwargs"): lambda: (
        DDPStrategy(static_graph=True)._ddp_kwargs == {"static_graph": True}
    ),
    ("lightning", "ModelParallelStrategy._data_parallel_size"): lambda: (
        ModelParallelStrategy(data_parallel_size=3)._data_parallel_size == 3
    ),
    ("lightning", "EarlyStopping._check_on_train_epoch_end"): lambda: (
        EarlyStopping("a", check_on_train_epoch_end=True)._check_on_train_epoch_end
    ),
    ("lightning", "Timer._duration"): lambda: Timer("00:00:01:00")._duration == 60,
    ("lightning", "Timer._interval"): lambda: Timer(interval="epoch")._interval == "epoch",
    ("lightning", "WandbLogger._wandb_init"): lambda: (
        WandbLogger(name="a")._wandb_init["name"] == "a"
    ),
    ("lightning", "WandbLogger._experiment"): lambda: (
        WandbLogger(experiment=NEEDED)._experiment is NEEDED
    ),
    ("lightning", "LightningModule._trainer"): lambda: LightningModule()._trainer is None,
    ("lightning", "a launcher's procs and kill"): lambda: (
        launcher().procs == [] and callable(launcher().kill)
    ),
    ("torch", "Optimizer._step_supports_amp_scaling and found_inf"): lambda: skips(1, Adam),
    ("torch", "_amp_foreach_non_finite_check_and_unscale_"): lambda: (
        flag_of([0.0], [1e38, 3e38]) == 0 and flag_of([0.0, math.inf]) == flag_of([math.nan]) == 1
    ),
    ("torch", "_functorch.maybe_current_level"): lambda: (
        not uncompiled.differentiated_by_functions()
        and torch.func.vjp(lambda x: x * uncompiled.differentiated_by_functions(), torch.ones(()))[
            0
        ]
    ),
    ("torch", "nn.Module._compiled_call_impl"): lambda: (
        nn.Linear(1, 1)._compiled_call_impl is None and callable(compiled()._compiled_call_impl)
    ),
}


@pytest.mark.parametrize(("library", "name"), NEEDED, ids=[name for _, name in NEEDED])
def test_what_is_private_is_where_it_was(library: str, name: str) -> None:
    try:
        there = NEEDED[library, name]()
    except (AttributeError, ImportError, KeyError, TypeError):
        there = False
    if not there:
        pytest.fail(f"{library} {version(library)} has moved {name}: look for it in training/")


def test_ddp_is_told_to_look_for_unused_parameters_unless_the_user_says() -> None:
    for strategy, expected in ((DDPStrategy(), True), (DDPStrategy(find_unused_parameters=0), 0)):
        private.find_unused_parameters(strategy)
        assert strategy._ddp_kwargs["find_unused_parameters"] == expected


def test_a_sharded_batch_is_split_over_all_processes() -> None:
    strategy = FullySharded()
    private.set_data_parallel_size(strategy, 6)
    assert strategy._data_parallel_size == 6


def test_a_compiled_module_is_called_as_it_is_written_and_compiled_again() -> None:
    module = compiled()
    call = uncompiled.compiled_call(module)
    uncompiled.set_compiled_call(module, None)
    assert uncompiled.compiled_call(module) is None
    uncompiled.set_compiled_call(module, call)
    assert uncompiled.compiled_call(module) is call


@pytest.mark.parametrize("kind", [Adam, AdamW, SGD])
def test_an_optimizer_leaves_out_a_step_if_the_flag_is_set(kind: type[Optimizer]) -> None:
    assert skips(1, kind)
    assert not skips(0, kind)


def test_an_optimizer_that_is_not_fused_leaves_out_no_step() -> None:
    assert not private.can_skip(SGD([nn.Parameter(torch.ones(2))]))


def test_lightning_installs_the_handler_of_sigterm_that_it_is_given() -> None:
    trainer = Trainer(logger=False, accelerator="cpu")
    private.replace_sigterm_handler(trainer, handler := lambda signum, frame: None)
    assert sigterm(trainer) is handler


@pytest.mark.parametrize("callback", [EarlyStopping("a", patience=7), Timer("00:00:01:00")])
def test_every_argument_of_a_callback_that_stops_training_is_found(callback: Any) -> None:
    found = private.given_arguments(callback)
    assert found.keys() == inspect.signature(type(callback)).parameters.keys()
    given = {"monitor": "a", "patience": 7} if "patience" in found else {"duration": 60}
    assert given.items() <= found.items()
    assert None not in {v for k, v in found.items() if k in ("duration", "interval", "patience")}


def test_no_run_is_opened_to_see_whether_one_is() -> None:
    assert private.opened_run(WandbLogger()) is None


# ------------------------------------------------------------------- Lightning's loops

# What loop_state.py reads and writes of `fit_loop.state_dict()`: every count has these.
COUNTS = {"ready", "started", "processed", "completed"}
LOOPS = {
    "epoch_progress": ("total", "current"),
    "epoch_loop.batch_progress": ("total", "current"),
    "epoch_loop.val_loop.batch_progress": ("total", "current"),
}


@pytest.mark.parametrize(("progress", "part"), [(p, c) for p in LOOPS for c in LOOPS[p]])
def test_a_loops_progress_counts_what_it_did(progress: str, part: str, tmp_path: Path) -> None:
    loop = Trainer(logger=False, accelerator="cpu", default_root_dir=tmp_path).fit_loop
    found = loop.state_dict().get(progress, {}).get(part, {})
    if not found.keys() >= COUNTS:
        pytest.fail(f"lightning {version('lightning')} has moved {progress}: see loop_state.py")
    if "batch" in progress:
        assert "is_last_batch" in loop.state_dict()[progress]
