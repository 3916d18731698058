"""Shard parameters, gradients and optimizer state over the processes, with FSDP2."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.training.checkpoint_reading import read_checkpoint
from ae_lightning.training.private import set_data_parallel_size

Module = TypeVar("Module", bound=LightningModule)

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
STEP_METHODS = ("training_step", "validation_step", "test_step", "predict_step")


class FullySharded(ModelParallelStrategy):
    """Shard a model over all processes with FSDP2, and save each checkpoint as one whole file.

    Checkpoints are interchangeable between strategies.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        set_data_parallel_size(self, self.num_nodes * self.num_processes)
        super().setup_environment()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        """Check a checkpoint whole, on every process, before it is split over them."""
        model: Any = self.lightning_module
        model.check_checkpoint(read_checkpoint(file := Path(checkpoint_path)), file)
        return super().load_checkpoint(checkpoint_path, weights_only=True)


def shard(model: LightningModule, strategy: Strategy, networks: Iterable[nn.Module] = ()) -> None:
    """Shard a model if its strategy is `FullySharded`.

    Parameters are gathered for a whole step at a time, in which any penalty may read weights and
    take derivatives of derivatives. Between steps each process holds only its own shard.

    Args:
        networks: those whose layers are gathered one at a time instead, or one block of them, each
            for its forward and its backward pass; nothing else may read their weights.

    Raises:
        UsageError: if it is another strategy of its kind, or a parameter is a scalar.
    """
    if not isinstance(strategy, ModelParallelStrategy) or isinstance(model, FSDPModule):
        return
    if not isinstance(strategy, FullySharded):
        name = type(strategy).__name__
        raise UsageError(f"trainer.strategy is {name}: to shard a model, use --config fsdp.")
    mesh = strategy.device_mesh["data_parallel"]
    for name, p in model.named_parameters():
        if p.ndim == 0:
            raise UsageError(f"{name} is a scalar, which cannot be sharded: give it shape (1,).")
    kind = type(model)
    for unit in (unit for network in networks for unit in units(network)):
        fully_shard(unit, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for name in ("__name__", "__qualname__", "__module__"):  # checkpoints record these
        setattr(type(model), name, getattr(kind, name))
    for step in STEP_METHODS:
        register_fsdp_forward_method(model, step)


def units(network: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at once: blocks of a network, which say that they are `whole`, or layers.

    >>> len([*units(nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)))])
    2
    """
    if isinstance(network, LAYERS) or getattr(network, "whole", False):
        yield network
    else:
        for child in network.children():
            yield from units(child)


def whole_model(model: Module) -> Module | None:
    """Return a model itself, or, if it is sharded, a whole copy on rank zero's CPU.

    All processes must call this together; of a sharded model, the other ranks get None.
    """
    if not isinstance(model, FSDPModule):
        return model
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)
    if torch.distributed.get_rank() > 0:
        return None
    with torch.random.fork_rng([]):  # building it draws its initial weights
        copy: Any = rebuild(model.record).to(model.dtype)  # type: ignore[attr-defined]
    copy.load_state_dict(weights)
    copy.clock = model.clock
    return copy.train(model.training)  # type: ignore[no-any-return]


def change_whole(model: Module, change: Callable[[Module], object]) -> None:
    """Change a model, also a sharded one: rank zero's whole copy, whose state all ranks then load.

    All processes must call this together.
    """
    copy = whole_model(model)
    if copy is not None:
        change(copy)
    if copy is not model:
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        set_model_state_dict(model, copy.state_dict() if copy else {}, options=options)


def local(x: Tensor) -> Tensor:
    """Return this process's shard of a sharded tensor; any other tensor itself."""
    return x.to_local() if isinstance(x, DTensor) else x


def full(x: Tensor) -> Tensor:
    """Gather a sharded tensor; return any other as it is. All processes must call this together."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def sharded_like(x: Tensor, like: Tensor) -> Tensor:
    """Move a tensor, which all processes hold whole, to another's device, and shard it likewise."""
    x = x.to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(x, like.device_mesh, like.placements)
    return x
