"""What training saved passes, for every system and optimizer; what was changed since does not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from torch import Tensor, nn, optim

from ae_lightning import AutoEncoder, UsageError
from ae_lightning.nn import MLP
from ae_lightning.systems import UndercompleteAutoEncoder
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.checkpoint_optimizers import check_optimizers
from ae_lightning.training.checkpoint_values import check_values
from helpers.cases import CASES, SHAPE
from helpers.interpreter import python
from helpers.pairs import pair_of
from helpers.training import loader, quiet_trainer

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "Adam": partial(optim.Adam, lr=0.01),
    "Adam, fused": partial(optim.Adam, lr=0.01, fused=True),
    "Adam, amsgrad": partial(optim.Adam, lr=0.01, amsgrad=True, foreach=True),
    "AdamW": partial(optim.AdamW, lr=0.01, fused=True),
    "NAdam": partial(optim.NAdam, lr=0.01),
    "RAdam": partial(optim.RAdam, lr=0.01),
    "Adamax": partial(optim.Adamax, lr=0.01),
    "Adadelta": partial(optim.Adadelta, lr=0.1),
    "Adagrad": partial(optim.Adagrad, lr=0.01),
    "Adagrad, fused": partial(optim.Adagrad, lr=0.01, fused=True),
    "Adafactor": partial(optim.Adafactor, lr=0.01),
    "ASGD": partial(optim.ASGD, lr=0.01),
    "Rprop": partial(optim.Rprop, lr=0.01),
    "RMSprop": partial(optim.RMSprop, lr=0.01, centered=True, momentum=0.9),
    "SGD": partial(optim.SGD, lr=0.01),
    "SGD, momentum": partial(optim.SGD, lr=0.01, momentum=0.9, nesterov=True, fused=True),
    "LBFGS": partial(optim.LBFGS, lr=0.1, max_iter=3, history_size=5),
}
CALLBACKS: dict[str, Callable[[], list[Callback]]] = {
    "EarlyStopping": lambda: [EarlyStopping("train/loss", check_on_train_epoch_end=True)],
    "ModelCheckpoint": lambda: [ModelCheckpoint(monitor="val/loss", save_last=True)],
    "StochasticWeightAveraging": lambda: [StochasticWeightAveraging(0.01, swa_epoch_start=9)],
    "EMAWeightAveraging": lambda: [EMAWeightAveraging()],
    "Timer and monitor": lambda: [Timer("00:00:10:00"), LearningRateMonitor()],
}


def batches() -> list[Any]:
    torch.manual_seed(1)
    return [pair_of(torch.rand(5, *SHAPE), torch.rand(5, *SHAPE)) for _ in range(3)]


def trained(
    model: AutoEncoder, folder: Path, epochs: int, state: Path | None = None, **options: Any
) -> Any:
    """Train on a few batches; return the trainer."""
    data = loader(batches())
    trainer = quiet_trainer(folder, max_epochs=epochs, **options)
    trainer.fit(model, data, data, ckpt_path=state, weights_only=True)
    return trainer


def saved(model: AutoEncoder, folder: Path, **options: Any) -> tuple[Path, dict[str, Any]]:
    """Train for two epochs; return the checkpoint's file, and what it holds."""
    file = folder / "a.ckpt"
    trained(model, folder, 2, **options).save_checkpoint(file)
    return file, torch.load(file, weights_only=True)


def plain(optimizer: Callable[..., optim.Optimizer] = OPTIMIZERS["Adam, fused"]) -> AutoEncoder:
    torch.manual_seed(0)
    parts = {"encoder": MLP(widths=(7,)), "decoder": MLP(widths=(7,))}
    return UndercompleteAutoEncoder(SHAPE, latent=3, optimizer=optimizer, **parts)


@pytest.mark.parametrize("name", CASES)
def test_what_every_model_saves_passes(name: str, tmp_path: Path) -> None:
    file, _ = saved(CASES[name](), tmp_path)
    AutoEncoder.load_from_checkpoint(file)
    assert trained(CASES[name](), tmp_path, 3, file).global_step == 9


def stepped(name: str, steps: int, state: Any = None) -> tuple[optim.Optimizer, list[nn.Parameter]]:
    """Let an optimizer take steps on a bowl, from the start or from a state."""
    torch.manual_seed(0)
    shapes = ((4, 3), (4,), (1,), (2, 3, 2, 2))
    parameters = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    optimizer = OPTIMIZERS[name](parameters)
    if state is not None:
        check_values(state, "a.ckpt", 10**6)
        check_optimizers([optimizer], [state], "a.ckpt")
        optimizer.load_state_dict(state)

    def loss() -> Tensor:
        optimizer.zero_grad()
        bowl = torch.stack([(p + 1).square().sum() for p in parameters]).sum()
        bowl.backward()
        return bowl

    for _ in range(steps):
        optimizer.step(loss)
    return optimizer, parameters


def state_of(name: str, steps: int = 3) -> Any:
    return copy.deepcopy(stepped(name, steps)[0].state_dict())


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_from_its_own_state(name: str, steps: int) -> None:
    state = state_of(name, steps)
    before = copy.deepcopy(state)
    _, parameters = stepped(name, 0, state)
    assert repr(state) == repr(before)
    assert all(p.isfinite().all() for p in stepped(name, 2, state)[1])
    assert len(parameters) == 4


@pytest.mark.parametrize("name", CALLBACKS)
def test_what_callbacks_save_passes(name: str, tmp_path: Path) -> None:
    more = {"enable_checkpointing": "Checkpoint" in name, "logger": "monitor" in name}
    file, _ = saved(plain(), tmp_path, callbacks=CALLBACKS[name](), **more)
    trained(plain(), tmp_path, 3, file, callbacks=CALLBACKS[name](), **more)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_what_other_precisions_save_passes(precision: Any, tmp_path: Path) -> None:
    file, _ = saved(plain(), tmp_path, precision=precision)
    trained(plain(), tmp_path, 3, file, precision=precision)


# What a state's tensor becomes that an optimizer would change in place.
WRONG: dict[str, Callable[[Tensor], Any]] = {
    "longer": lambda x: torch.cat([x.flatten(), x.flatten()]),
    "a part": lambda x: x.flatten()[:1].clone(),
    "one more axis": lambda x: x[None],
    "empty": lambda x: x.new_empty(0),
    "a number": lambda x: 1.0,
    "text": lambda x: "text",
    "nothing": lambda x: None,
    "not finite": lambda x: torch.full_like(x, float("nan")),
    "whole numbers": lambda x: x.long(),
    "complex": lambda x: x.to(torch.complex64),
    "sparse": lambda x: x.to_sparse(),
    "expanded": lambda x: x.new_ones(1).expand(2, *x.shape)[0],
    "without values": lambda x: x.to("meta"),
}


def tensors(state: dict[int, dict[str, Any]]) -> Sequence[tuple[int, str]]:
    """The first and the last tensor of every name that are more than a number."""
    found: dict[str, list[int]] = {}
    for number, entries in state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.numel() > 1:
                found.setdefault(name, []).append(number)
    return [(n, name) for name, numbers in found.items() for n in {numbers[0], numbers[-1]}]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_takes_a_state_that_is_not_its_own(name: str) -> None:
    saved = state_of(name)
    state = saved["state"]

    def refused(number: int, changed: dict[str, Any]) -> None:
        former, state[number] = state[number], changed
        with pytest.raises(UsageError, match=r"^a\.ckpt"):
            stepped(name, 0, saved)
        state[number] = former

    for number, key in tensors(state):
        own = state[number]
        for change in WRONG.values():
            refused(number, {**own, key: change(own[key])})
        if rest := {k: v for k, v in own.items() if k != key}:  # without any, it starts anew
            refused(number, rest)
        refused(number, {**own, "more": own[key].clone()})
        if other := next((k for n, k in tensors(state) if n == number and k != key), None):
            refused(number, {**own, other: own[key]})  # one memory for two


def test_the_heap_is_not_overwritten(tmp_path: Path) -> None:
    """A fused step trusts shapes: tried in a process of its own, which a fault would end."""
    program = """
import sys, torch
sys.path[:0] = sys.argv[1].split(":")
from pathlib import Path
from ae_lightning import UsageError
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from untrusted.test_fitting import plain, saved, trained
file, checkpoint = saved(plain(), Path("."))
for key in ("exp_avg", "exp_avg_sq"):
    for shape in ((), (1,), (2, 1), (10**6,)):
        state = checkpoint["optimizer_states"][0]["state"]
        former = {n: entries[key] for n, entries in state.items()}
        for entries in state.values():
            entries[key] = torch.ones(shape)
        AtomicCheckpointIO().save_checkpoint(checkpoint, file)
        try:
            trained(plain(), Path("."), 4, file)
        except UsageError as error:
            print("refused:", error)
        for n, entries in state.items():
            entries[key] = former[n]
"""
    here = Path(__file__).parents[1]
    said = python("-c", program, f"{here}:{here.parent}", folder=tmp_path)
    assert said.count("refused: ") == 8


NOT_FINITE = float("nan")
OPTIONS: dict[str, Any] = {
    "lr": [None, "a", NOT_FINITE, -1.0, [1.0], torch.ones(2)],
    "betas": [(0.9,), (0.9, 3.0), (0.9, "a"), None, 0.9, (0.9, NOT_FINITE)],
    "eps": [-1.0, None, float("inf")],
    "weight_decay": ["a", -1.0],
    "amsgrad": [True, 1, "yes"],
    "maximize": [True, 0, None],
    "params": [[], [0], [0, 0], "abc", list(range(1, 9)), list(range(100))],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_an_optimizer_are_its_own(option: str) -> None:
    for value in OPTIONS[option]:
        state = state_of("Adam, fused")
        state["param_groups"][0][option] = value
        with pytest.raises(UsageError, match="param_groups"):
            stepped("Adam, fused", 0, state)


def test_kernels_stay_those_of_the_program(tmp_path: Path) -> None:
    file, checkpoint = saved(plain(), tmp_path)
    group = checkpoint["optimizer_states"][0]["param_groups"][0]
    group |= {"fused": "yes", "capturable": True, "differentiable": True, "foreach": 3}
    AtomicCheckpointIO().save_checkpoint(checkpoint, file)
    whole, resumed = plain(), plain()
    trained(whole, tmp_path, 2)
    [optimizer] = trained(resumed, tmp_path, 2, file).optimizers
    assert optimizer.param_groups[0]["fused"] is True
    assert not optimizer.param_groups[0]["capturable"]
