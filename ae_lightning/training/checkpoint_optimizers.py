"""Whether an optimizer can go on from a saved state: a copy of it, without memory, tries it first.

A fused step trusts the shapes of its state, and writes beyond it if they are wrong. What a state
holds is not written down here for each optimizer: an equal one is made, on parameters of the same
shapes, takes two steps, and the saved state must be like its own.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.training.likeness import complete, difference

Options = dict[str, Any]
State = dict[str, Any]

# Which of torch's kernels take the step: of no account for the state, so the program's own stay.
KERNELS: Final = {"fused": None, "foreach": False, "capturable": False, "differentiable": False}


class Copy:
    """An optimizer like another, whose parameters are zero, and whose gradients are a sign.

    Args:
        kind: the optimizer's class.
        options: those of one of its groups.
        parameters: what each parameter is like.
        device: where; "meta" takes no memory.
        sign: the gradients at zero, 1 or -1.
    """

    def __init__(
        self,
        kind: Callable[..., Optimizer],
        options: Options,
        parameters: Sequence[Tensor],
        device: str,
        sign: float = 1.0,
    ) -> None:
        zeros = (torch.zeros(p.shape, dtype=p.dtype, device=device) for p in parameters)
        self.parameters, self.sign = [nn.Parameter(zero) for zero in zeros], sign
        taken = inspect.signature(kind).parameters
        given = {k: v for k, v in options.items() if k in taken and k not in KERNELS}
        self.optimizer = kind(self.parameters, **given)

    def step(self) -> list[State]:
        """Take a step, and return each parameter's state."""
        self.optimizer.step(self._gradients)
        return [dict(self.optimizer.state.get(p, {})) for p in self.parameters]

    def _gradients(self) -> float:
        for p in self.parameters:
            p.grad = p.detach() + self.sign
        return 0.0

    def load(self, states: Sequence[State], options: Options) -> None:
        """Take over the states of another, after a step."""
        for p, state in zip(self.parameters, states, strict=True):
            own = self.optimizer.state[p]
            self.optimizer.state[p] = {k: _copied(v, own.get(k), p) for k, v in state.items()}
        kernels = {name: value for name, value in KERNELS.items() if name in options}
        self.optimizer.param_groups[0].update(options | kernels)


def _copied(value: Any, own: Any, parameter: Tensor) -> Any:
    """Copy a value of a state to where an optimizer keeps its own."""
    if isinstance(value, list):
        return [_copied(v, None, parameter) for v in value]
    if not isinstance(value, Tensor):
        return value
    return value.to(own.device if isinstance(own, Tensor) else parameter.device, copy=True)


def check_optimizers(optimizers: Sequence[Optimizer], found: Sequence[Any], source: object) -> None:
    """Refuse saved states that optimizers cannot go on from.

    Raises:
        UsageError: naming the first place that is wrong.
    """
    if len(optimizers) != len(found):
        raise UsageError(
            f"{source} holds the states of {len(found)} optimizers: expected {len(optimizers)}."
        )
    for i, (optimizer, state) in enumerate(zip(optimizers, found, strict=True)):
        if wrong := shared(state) or wrong_optimizer(optimizer, state):
            where = f"optimizer_states.{i}.{printable(wrong, 300)}"
            raise UsageError(f"{source} does not fit {type(optimizer).__name__}: {where}.")


def shared(state: Any) -> str | None:
    """Say if two tensors of a saved state share memory, since each would be changed in place."""
    spans = sorted(
        (x.data_ptr(), x.data_ptr() + x.untyped_storage().nbytes())
        for entries in state["state"].values()
        for value in entries.values()
        for x in (value if isinstance(value, list) else [value])
        if isinstance(x, Tensor) and x.numel()
    )
    for (_, end), (start, _) in pairwise(spans):
        if start < end:
            return "state: two of its tensors share memory"
    return None


def wrong_optimizer(own: Optimizer, found: Mapping[str, Any]) -> str | None:
    """Say what is wrong with an optimizer's saved state, or return None."""
    if len(found["param_groups"]) != len(own.param_groups):
        return f"param_groups holds {len(found['param_groups'])}: expected {len(own.param_groups)}"
    first = 0
    for i, (group, saved) in enumerate(zip(own.param_groups, found["param_groups"], strict=True)):
        parameters = group["params"]
        numbers = range(first, first := first + len(parameters))
        wrong = wrong_group(group, saved, numbers, f"param_groups.{i}")
        states = [found["state"].get(n, {}) for n in numbers]
        if wrong := wrong or wrong_states(type(own), parameters, saved, states, numbers):
            return wrong
    if unknown := found["state"].keys() - range(first):
        return f"state.{min(unknown)} belongs to no parameter"
    return None


def wrong_group(own: Options, saved: Options, numbers: range, place: str) -> str | None:
    """Say what is wrong with the saved options of a group of parameters, or return None."""
    options = {name: value for name, value in own.items() if name != "params"}
    saved |= {name: value for name, value in options.items() if name in KERNELS}
    complete(options, saved)
    if saved["params"] != list(numbers):
        return f"{place}.params are not the numbers of {len(numbers)} parameters"
    for name, value in saved.items():
        if name != "params" and name not in options and not schedules(name, value):
            return f"{place} has {printable(name, 60)}, which is no option"
        if isinstance(options.get(name), bool) and value is not options[name]:
            return f"{place}.{name} is {printable(repr(value), 60)}: expected {options[name]}"
    return difference(options, {k: v for k, v in saved.items() if k != "params"}, place, {})


def schedules(name: str, value: Any) -> bool:
    """Whether an option of a group is what a scheduler notes there, such as SWALR its `swa_lr`."""
    return name.endswith("_lr") and type(value) is float and 0 <= value < math.inf


def wrong_states(
    kind: type[Optimizer],
    parameters: Sequence[Tensor],
    options: Options,
    states: Sequence[State],
    numbers: range,
) -> str | None:
    """Say what is wrong with the saved states of a group's parameters, or return None."""
    options = {name: value for name, value in options.items() if name != "params"}
    try:
        copy, examples = stepped(kind, options, parameters)
    except Exception as error:  # whatever an optimizer thinks of its options
        return f"param_groups: {' '.join(str(error).split())}"
    positive = never_negative(kind, options, parameters)
    for i, (number, state) in enumerate(zip(numbers, states, strict=True)):
        wrongs = [difference(e[i], state, f"state.{number}", {}) for e in examples]
        if state and all(wrongs):
            return wrongs[-1]
        for name in positive & state.keys():
            if isinstance(state[name], Tensor) and (state[name] < 0).any():
                return f"state.{number}.{name} is negative"
    try:
        copy.load(states, options)
        copy.step()
    except Exception as error:  # whatever it stumbles over, such as lists of unequal lengths
        return f"state: {' '.join(str(error).split()) or type(error).__name__}"
    return None


def stepped(
    kind: type[Optimizer], options: Options, parameters: Sequence[Tensor]
) -> tuple[Copy, list[list[State]]]:
    """Return a copy of an optimizer, and all parameters' states after each of two steps."""
    for device in ("meta", "cpu"):  # one that looks at values needs memory, such as LBFGS
        try:
            copy = Copy(kind, options, parameters, device)
            return copy, [copy.step(), copy.step()]
        except (RuntimeError, NotImplementedError):
            if device == "cpu":
                raise
    raise AssertionError


def never_negative(
    kind: type[Optimizer], options: Options, parameters: Sequence[Tensor]
) -> set[str]:
    """Name what of a state is never below zero, whatever the gradients, such as their squares."""
    small = {p.ndim: torch.zeros((2,) * p.ndim, dtype=p.dtype) for p in parameters}
    found: set[str] = set()
    negative: set[str] = set()
    for sign in (1.0, -1.0):
        copy = Copy(kind, options, list(small.values()), "cpu", sign)
        for state in copy.step():
            numbers = {name: value for name, value in state.items() if isinstance(value, Tensor)}
            found |= numbers.keys()
            negative |= {name for name, value in numbers.items() if (value < 0).any()}
    return found - negative
