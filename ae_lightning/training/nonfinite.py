"""Stop training at a step whose loss or gradient is not finite, before it reaches the weights.

Loss and gradients are checked together, once a step, between backward and optimizer. On a GPU that
costs one wait, which the step ends with anyway; on several processes, one sum of one number, so
that all of them stop together.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import get_total_norm

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import NonFiniteError
from ae_lightning.training.sharding import local

Terms = Mapping[str, Tensor]


class NonFiniteGuard:
    """Note the terms of the losses that lead to a step, and check them and their gradients."""

    def __init__(self) -> None:
        self._terms: list[Terms] = []  # of every batch that accumulates for the step

    def note(self, terms: Terms) -> None:
        """Note a batch's loss and its terms; only the loss is checked, and the terms explain it."""
        self._terms.append({name: term.detach() for name, term in terms.items()})

    def check(self, model: Any, parameters: Iterable[Tensor], scaled: bool) -> None:
        """Raise an error if a loss, or a gradient of `parameters`, is not finite.

        Args:
            model: the LightningModule, for the names of its parameters and its place in training.
            parameters: those that the optimizer is about to update.
            scaled: whether a gradient scaler skips steps whose gradients are not finite.

        Raises:
            NonFiniteError: on every process, naming what is not finite on any of them.
        """
        terms, self._terms = self._terms, []
        gradients = [] if scaled else [local(p.grad) for p in parameters if p.grad is not None]
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
            raise NonFiniteError(sentence(model, names))


def magnitude(gradients: list[Tensor]) -> Tensor | float:
    """Return a number that is finite only if all gradients are, as fast as they can be read."""
    if all(g.is_cpu for g in gradients):
        # A sum of finite numbers may overflow: then no culprit is found, and training goes on.
        return sum(g.sum().item() for g in gradients)
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


def sentence(model: Any, names: list[str]) -> str:
    """Say what is not finite, at which step, and which checkpoint to go back to."""
    # Gradients follow from the loss: if one of its terms is named, that is the cause.
    causes = [name for name in names if not name.startswith("the gradient")] or names
    trainer = model.trainer
    saved = [getattr(c, "last_model_path", None) for c in trainer.checkpoint_callbacks]
    newest = next(filter(None, saved), trainer.ckpt_path)
    back = f"go back to {newest}" if newest else "there is no checkpoint yet to go back to"
    return (
        f"{' and '.join(causes)} in step {trainer.global_step + 1} (epoch {trainer.current_epoch}, "
        f"batch {trainer.fit_loop.batch_idx}); the weights are finite, as they were before it: "
        f"{back}."
    )
