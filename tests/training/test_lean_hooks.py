"""What Lightning leaves out of a step has no effect, and what a user adds is left in."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.profilers import PassThroughProfiler, SimpleProfiler
from torch import nn

from ae_lightning import AutoEncoder
from ae_lightning.training.lean_hooks import IDLE, Unprofiled
from helpers import cases
from helpers.pairs import pair_of
from helpers.training import fit

PAIR = pair_of(torch.rand(3, *cases.SHAPE))


class Noting(Callback):
    """Note which hooks its owner is called by, and what becomes of idle ones meanwhile."""

    def __init__(self, hook: str) -> None:
        self.hooks: list[str] = []
        self.idle: set[str] = set()
        # As some users do, on the object.
        setattr(self, hook, lambda *_: self.hooks.append(hook))

    def on_train_epoch_end(self, trainer: Any, model: LightningModule) -> None:
        self.idle = {hook for hook in IDLE if getattr(self, hook) is None}


def trained(**options: Any) -> Any:
    return fit(cases.vae(), [PAIR], max_epochs=1, limit_val_batches=0, **options)


@pytest.mark.parametrize("hook", IDLE)
def test_a_hook_that_a_user_writes_is_called_and_the_others_are_put_back(hook: str) -> None:
    callback, called = Noting(hook), list[str]()
    lambdas = LambdaCallback(**{hook: lambda *_: called.append(hook)})
    trained(callbacks=[callback, lambdas])
    assert callback.hooks == called == [hook]
    assert callback.idle == set(IDLE) - {hook}
    assert vars(callback).keys() & set(IDLE) == {hook}
    assert all(callable(getattr(callback, name)) for name in IDLE)


@pytest.mark.parametrize("hook", IDLE)
def test_a_hook_of_a_users_model_is_called(hook: str) -> None:
    called = []

    class Mine(type(cases.vae())):  # type: ignore[misc]
        pass

    def noting(self: Any, *args: Any) -> Any:
        called.append(hook)
        return getattr(super(Mine, self), hook)(*args)

    setattr(Mine, hook, noting)
    model = cases.vae()
    model.__class__ = Mine
    fit(model, [PAIR], max_epochs=1, limit_val_batches=0)
    assert called == [hook]
    assert not any(name in vars(model) for name in IDLE)


def test_a_profiler_that_a_user_asks_for_measures() -> None:
    trainer = trained(profiler="simple")
    assert isinstance(trainer.profiler, SimpleProfiler)
    measured = trainer.profiler.recorded_durations
    assert any("on_train_batch_start" in action for action in measured)


def test_the_default_profiler_is_replaced_by_one_that_does_as_little() -> None:
    trainer = trained()
    assert isinstance(trainer.profiler, Unprofiled)
    assert isinstance(trainer.profiler, PassThroughProfiler)
    with trainer.profiler.profile("a"), trainer.profiler.profile("b"):
        pass


VALUES = [None, "a", torch.ones(2), nn.Parameter(torch.ones(1)), nn.Linear(1, 1)]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_an_attribute_is_set_as_on_any_module(value: Any) -> None:
    model, plain = cases.vae(), nn.Module()
    for former in ("b", value):  # new, and in place of what is no parameter
        model.thing = plain.thing = former
    for kind in ("_parameters", "_modules", "_buffers", "__dict__"):
        assert ("thing" in getattr(model, kind)) == ("thing" in getattr(plain, kind))
    assert model.thing is value


@pytest.mark.parametrize("name", ["encoder", "started"])
def test_a_name_stays_what_it_is_registered_as(name: str) -> None:
    with pytest.raises(TypeError, match=f"cannot assign 'str' as (child module|buffer) '{name}'"):
        setattr(cases.vae(), name, "a")


def test_the_signature_that_lightning_asks_for_is_that_of_the_step() -> None:
    step = AutoEncoder.training_step
    noted = vars(step).pop("__signature__")
    try:
        assert inspect.signature(step) == noted
    finally:
        step.__signature__ = noted  # type: ignore[attr-defined]
