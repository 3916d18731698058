"""The largest batch that fits into memory, where one did not."""

import gc
import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch
from lightning.pytorch import Trainer

from ae_lightning.core.errors import UsageError
from ae_lightning.core.memory import allowance, bounded_memory
from ae_lightning.training.allocator import return_freed_memory

EXHAUSTED: Final = re.compile(
    r"(allocate|enough|out of) memory|could not create a (primitive|memory)"
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(EXHAUSTED.search(str(error)))


def within_memory(
    trainer: Trainer, share: float = 1.0, most: float = math.inf
) -> AbstractContextManager[None]:
    """Let training on a CPU end in an error, and not without a word, where memory is too small."""
    on_cpu = trainer.strategy.root_device.type == "cpu"
    return bounded_memory(share, most) if on_cpu else nullcontext()


def largest_batch(step: Callable[[int], Any], size: int) -> int:
    """The largest of size, size/2, size/4, … whose step fits into memory; 0 if not even 1 does.

    The small ones come first: where memory is short, convolutions may fail from then on.

    >>> def step(n):
    ...     if n > 37:
    ...         raise MemoryError
    >>> largest_batch(step, 128)
    32
    """
    fits = 0
    for halvings in reversed(range(size.bit_length())):
        gc.collect()  # what the error before still holds
        return_freed_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            step(size >> halvings)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            break
        fits = size >> halvings
    return fits


def fit_or_hint(trainer: Trainer, model: Any, datamodule: Any, **options: Any) -> None:
    """Train; where a batch does not fit into memory, say which does.

    Raises:
        UsageError: with `hint_of`, in training by one process.
    """
    most = allowance()
    try:
        with within_memory(trainer):
            trainer.fit(model, datamodule=datamodule, **options)
        return
    except (RuntimeError, MemoryError) as error:
        unread = not getattr(datamodule, "sets", True)  # so that no batch was ever drawn
        if trainer.world_size > 1 or unread or not ran_out_of_memory(error):
            raise
    # Only here, where the error is gone, which holds on to much.
    raise UsageError(hint_of(model, datamodule, trainer, most))


def hint_of(model: Any, data: Any, trainer: Trainer, most: float) -> str:
    """Say which batch size fits where the given one did not, as a sentence.

    What is tried is a forward and a backward pass, with what Adam keeps beside it, in half of
    the memory: evaluation, pictures and what lies unused between two blocks have the rest.

    Args:
        most: bytes that training was allowed. What it has given back may still be this process's,
            to be used again: half of what is free beyond that could be more.
    """
    device = trainer.strategy.root_device
    model.to(device).train().zero_grad()

    def step(n: int) -> None:
        with within_memory(trainer, 1 / 2, most):
            beside = [torch.zeros_like(p) for p in model.parameters() for _ in range(2)]
            pair = data.pairs("train", range(n)).to(device)
            with trainer.precision_plugin.forward_context():
                loss = model.objective(model.propagate(pair))["loss"]
            loss.backward()
        del beside
        model.zero_grad()

    given = min(data.batch_size, len(data.sets["train"]))
    lost = f"a batch of {given} needs more memory than there is"
    if not (size := largest_batch(step, given // 2)):
        return f"{lost}: lower --data.batch_size, or take smaller networks or images."
    times = -(-data.batch_size * trainer.accumulate_grad_batches // size)
    return (
        f"{lost}; by halving, the largest that fits is {size}: add --data.batch_size {size} "
        f"--trainer.accumulate_grad_batches {times}, which takes the same steps."
    )
