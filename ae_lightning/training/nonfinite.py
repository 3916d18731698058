"""Stop training at a step whose loss or gradient is not finite, before it reaches the weights.

Loss and gradients are checked together, once a step, between backward and optimizer; on several
processes by one sum of one number, so that all of them stop together. Reading the answer would have
a GPU wait at every step. A fused optimizer leaves out that step and all that follow by itself, on
the device, so there the answer is read now and then, and before anything is saved.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import NonFiniteError
from ae_lightning.training.private import can_skip, flag_non_finite, skip_if
from ae_lightning.training.sharding import local

Terms = Mapping[str, Tensor]

MOST_UNREAD: Final = 100  # steps, however seldom training logs


class Place(NamedTuple):
    """Where in training a step is."""

    step: int
    epoch: int
    batch: int


class Step(NamedTuple):
    """A step whose answer has not been read: the flag is 1 if it or one before was not finite."""

    place: Place
    terms: list[Terms]
    flag: Tensor


class NonFiniteGuard:
    """Note the terms of the losses that lead to a step, and check them and their gradients."""

    def __init__(self) -> None:
        self._terms: list[Terms] = []  # of every batch that accumulates for the step
        self._unread: list[Step] = []

    def note(self, terms: Terms) -> None:
        """Note a batch's loss and its terms; only the loss is checked, and the terms explain it."""
        self._terms.append({name: term.detach() for name, term in terms.items()})

    def check(self, model: Any, optimizer: Optimizer, scaled: bool) -> None:
        """Keep a step from the weights if a loss, or a gradient, is not finite.

        Args:
            model: the LightningModule, for the names of its parameters and its place in training.
            optimizer: is about to make the step.
            scaled: whether a gradient scaler skips steps whose gradients are not finite.

        Raises:
            NonFiniteError: on every process, naming what is not finite on any of them; if the
                optimizer leaves out the step by itself, only in `look`.
        """
        terms, self._terms = self._terms, []
        gradients = [] if scaled else gradients_of(optimizer)
        if gradients and leaves_out(optimizer, gradients):
            self._flag(model, optimizer, terms, gradients)
            return
        if isinstance(model, FSDPModule):
            gradients = [local(g) for g in gradients]
        total = magnitude(gradients)
        for term in terms:
            total = total + term["loss"]
        if rank_and_world()[1] > 1:
            # By now gradients are the same everywhere, or sharded; a loss is each rank's own.
            total = torch.as_tensor(total, dtype=torch.float32, device=model.device)
            dist.all_reduce(total)
        if math.isfinite(total):
            return
        names = [*bad_terms(terms), *(() if scaled else bad_gradients(model))]
        if names := shared(names):
            raise NonFiniteError(sentence(model, place_of(model), names))

    def _flag(
        self, model: Any, optimizer: Optimizer, terms: list[Terms], gradients: list[Tensor]
    ) -> None:
        flag = self._unread[-1].flag.clone() if self._unread else gradients[0].new_zeros(()).float()
        flag_non_finite(flag, [*gradients, *(term["loss"] for term in terms)])
        if rank_and_world()[1] > 1:
            dist.all_reduce(flag, dist.ReduceOp.MAX)
        skip_if(optimizer, flag)
        self._unread.append(Step(place_of(model), terms, flag))
        if len(self._unread) == MOST_UNREAD:
            self.look(model)

    def look(self, model: Any) -> None:
        """Read what has been found since the last time.

        Raises:
            NonFiniteError: as `check` does. The weights are those from before that step.
        """
        unread, self._unread = self._unread, []
        if not unread or unread[-1].flag == 0:
            return
        first = next(step for step in unread if step.flag != 0)
        # That step's gradients are gone; at the same weights, those of now tell as much.
        names = shared(bad_terms(first.terms)) or shared(bad_gradients(model))
        raise NonFiniteError(sentence(model, first.place, names or ["a gradient is not finite"]))


def gradients_of(optimizer: Optimizer) -> list[Tensor]:
    """Return the gradients that an optimizer is about to use."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return [p.grad for p in parameters if p.grad is not None]


def leaves_out(optimizer: Optimizer, gradients: list[Tensor]) -> bool:
    """Whether an optimizer leaves out a step by itself, and asking would have a GPU wait."""
    return gradients[0].is_cuda and local(gradients[0]) is gradients[0] and can_skip(optimizer)


def magnitude(gradients: list[Tensor]) -> Tensor | float:
    """Return a number that is finite only if all gradients are, as fast as they can be read."""
    if not gradients or gradients[0].is_cpu:
        # A sum of finite numbers may overflow: then no culprit is found, and training goes on.
        return sum(map(Tensor.item, map(torch.sum, gradients)))
    return get_total_norm(gradients)


def bad_terms(terms: list[Terms]) -> list[str]:
    """Name the terms of the objective that are not finite; if all are finite, the loss."""
    for batch in terms:
        if not batch["loss"].isfinite():
            bad = [f"{k} is {v.item()}" for k, v in batch.items() if not v.isfinite().all()]
            return [b for b in bad if not b.startswith("loss ")] or bad
    return []


def bad_gradients(model: Any) -> list[str]:
    """Name the first parameter whose gradient is not finite."""
    for name, p in model.named_parameters():
        if p.grad is not None and not local(p.grad).isfinite().all():
            return [f"the gradient of {name} is not finite"]
    return []


def shared(names: list[str]) -> list[str]:
    """Return the names that any rank has found, each once."""
    if rank_and_world()[1] > 1:
        every: list[Any] = [None] * rank_and_world()[1]
        dist.all_gather_object(every, names)
        names = [name for rank in every for name in rank]
    return list(dict.fromkeys(names))


def place_of(model: Any) -> Place:
    """Where a model's training is, at the step that it is about to make."""
    trainer = model.trainer
    return Place(trainer.global_step + 1, trainer.current_epoch, trainer.fit_loop.batch_idx)


def sentence(model: Any, place: Place, names: list[str]) -> str:
    """Say what is not finite, at which step, and which checkpoint to go back to."""
    # Gradients follow from the loss: if one of its terms is named, that is the cause.
    causes = [name for name in names if not name.startswith("the gradient")] or names
    trainer = model.trainer
    saved = [getattr(c, "last_model_path", None) for c in trainer.checkpoint_callbacks]
    newest = next(filter(None, saved), trainer.ckpt_path)
    back = f"go back to {newest}" if newest else "there is no checkpoint yet to go back to"
    return (
        f"{' and '.join(causes)} in step {place.step} (epoch {place.epoch}, batch {place.batch}); "
        f"the weights are finite, as they were before it: {back}."
    )
