"""What Lightning calls around every step, less what has no effect.

Half of the calls of Python functions in a small model's step told a profiler that nobody reads of
hooks that nobody has written, and asked of each hook's name whether it was a parameter.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any, Final, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor, nn

# The hooks of a training step that do nothing, and return nothing, unless they are overridden.
IDLE: Final = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
NOTHING: Final = nullcontext()
Step = TypeVar("Step", bound=Callable[..., Any])


def signed(step: Step) -> Step:
    """Note a method's signature on it, since Lightning asks for it at every step."""
    step.__signature__ = signature(step)  # type: ignore[attr-defined]
    return step


class Unprofiled(PassThroughProfiler):
    """Lightning's default profiler, which does nothing, in fewer calls."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return NOTHING


class LeanModule(LightningModule):
    """A module whose steps leave out what has no effect."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the name of every hook that it calls, and nn.Module asks with fourteen
        # calls whether that is a parameter, a buffer or a module, before it does just this.
        if name in self.__dict__ and not isinstance(value, (Tensor, nn.Module)):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)


def leave_out(trainer: Trainer, model: LightningModule) -> None:
    """Have Lightning skip profiling, unless it is asked for, and hooks that nobody has written.

    It calls a hook only if it is callable: on the objects themselves, those that neither class nor
    object overrides become None, until `put_back`. What the user adds works as ever.
    """
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
        trainer.profiler = Unprofiled()  # type: ignore[attr-defined]
    for owner, base in owners(trainer, model):
        for hook in IDLE:
            if getattr(getattr(owner, hook), "__func__", None) is getattr(base, hook):
                vars(owner)[hook] = None


def put_back(trainer: Trainer, model: LightningModule) -> None:
    """Undo `leave_out`."""
    for owner, _ in owners(trainer, model):
        for hook in IDLE:
            if vars(owner).get(hook, owner) is None:
                del vars(owner)[hook]


def owners(trainer: Trainer, model: LightningModule) -> list[tuple[Any, type]]:
    """Return whose hooks are called at every step, each with the class that they are idle in."""
    return [(model, LightningModule), *((c, Callback) for c in trainer.callbacks)]  # type: ignore[attr-defined]
