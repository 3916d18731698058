"""Shard parameters, gradients and the optimizer's state over the processes, as FSDP2 does."""

from __future__ import annotations

from collections.abc import Iterable
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

Module = TypeVar("Module", bound=LightningModule)

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class FullySharded(ModelParallelStrategy):
    """Shard a model over all processes by FSDP2; its checkpoints are whole, one file each.

    They are those of any other strategy: each goes on from, and is read without, any other.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()


def shard(model: LightningModule, strategy: Strategy, networks: Iterable[nn.Module] = ()) -> None:
    """Shard a model where its strategy is for that.

    The parameters are gathered for a whole step at a time, in which any penalty may read weights
    and take derivatives of derivatives; between steps each process holds its share alone.

    Args:
        networks: whose layers are gathered one at a time instead, each for its forward and its
            backward pass; nothing else may read their weights.

    Raises:
        UsageError: where the strategy would split layers, and not the batch.
    """
    if not isinstance(strategy, ModelParallelStrategy) or isinstance(model, FSDPModule):
        return
    mesh, whole_files = strategy.device_mesh, not strategy._save_distributed_checkpoint
    if mesh["tensor_parallel"].size() > 1 or not whole_files:
        raise UsageError(
            "ModelParallelStrategy is to have tensor_parallel_size 1 and "
            "save_distributed_checkpoint false: give --config fsdp, which sets them."
        )
    for name, p in model.named_parameters():
        if p.ndim == 0:
            raise UsageError(f"{name} is a scalar, which cannot be sharded: give it shape (1,).")
    kind = type(model)
    layers = [m for network in networks for m in network.modules() if isinstance(m, LAYERS)]
    for layer in layers:
        fully_shard(layer, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])
    for name in ("__name__", "__qualname__", "__module__"):  # which checkpoints record
        setattr(type(model), name, getattr(kind, name))
    for step in STEPS:
        register_fsdp_forward_method(model, step)


def whole_model(model: Module) -> Module | None:
    """The model itself, or, where it is sharded, a whole copy on rank zero's CPU, elsewhere None.

    All processes must call this together.
    """
    if not isinstance(model, FSDPModule):
        return model
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)
    if torch.distributed.get_rank() > 0:
        return None
    with torch.random.fork_rng([]):  # building it draws its first weights
        copy: Any = rebuild(model.record).to(model.dtype)  # type: ignore[attr-defined]
    copy.load_state_dict(weights)
    copy.clock = model.clock
    return copy.train(model.training)  # type: ignore[no-any-return]


def take_over(model: LightningModule, copy: LightningModule | None) -> None:
    """Give a sharded model the state of rank zero's whole copy. All processes must call this."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(model, copy.state_dict() if copy else {}, options=options)


def local(x: Tensor) -> Tensor:
    """This process's share of a sharded tensor; any other tensor itself."""
    return x.to_local() if isinstance(x, DTensor) else x


def full(x: Tensor) -> Tensor:
    """A sharded tensor, gathered; any other itself. All processes must call this together."""
    return x.full_tensor() if isinstance(x, DTensor) else x


def sharded_like(x: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, which all processes hold, on the device of another and sharded as it is."""
    x = x.to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(x, like.device_mesh, like.placements)
    return x
