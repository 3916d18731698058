"""Start a model from the weights of another run, as far as they fit."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import path_of
from ae_lightning.training.checkpoint_reading import read_checkpoint
from ae_lightning.training.run_directory import checkpoint_of


def init_from(model: nn.Module, path: str | Path) -> list[str]:
    """Take the weights of a checkpoint for every layer that fits; nothing of it is unpickled.

    A layer fits if all its tensors have a counterpart of the same name and shape.

    Args:
        path: the checkpoint, or a run, for its best one.

    Returns:
        The layers that were not taken, in the model's order.

    Raises:
        UsageError: if there is no such checkpoint, or no layer of it fits.
    """
    file = checkpoint_of(path_of(path, "init_from"))
    theirs = read_checkpoint(file)["state_dict"]
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in model.state_dict().items():
        layers.setdefault(layer_of(name), {})[name] = tensor
    fitting = {
        layer: {name: theirs[name] for name in ours}
        for layer, ours in layers.items()
        if layer and all(n in theirs and theirs[n].shape == t.shape for n, t in ours.items())
    }
    if not fitting:
        raise UsageError(f"{file} holds no layer that fits this model.")
    with torch.no_grad():
        for taken in fitting.values():
            model.load_state_dict(taken, strict=False)
    return [layer for layer in layers if layer and layer not in fitting]


def layer_of(name: str) -> str:
    """The layer that a tensor belongs to; "" for what is a model's own.

    >>> layer_of("encoder.layers.0.weight"), layer_of("started")
    ('encoder.layers.0', '')
    """
    return name.replace(".parametrizations.weight.original", ".weight").rpartition(".")[0]
