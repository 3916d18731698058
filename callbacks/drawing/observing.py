"""Look at a model without a trace: its modes and all random states stay as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from ae_lightning.model import Model
from ae_lightning.training.uncompiled import uncompiled


@contextmanager
def observing(model: Model) -> Iterator[None]:
    """Evaluate a model without gradients, leaving its modes and all random states as they were.

    Inside, every call draws the same random numbers, and torch.func's derivatives work.
    """
    modes = {module: module.training for module in model.modules()}
    devices = [model.device] if model.device.type == "cuda" else []
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with (
        torch.random.fork_rng(devices),
        torch.inference_mode(False),
        torch.no_grad(),
        uncompiled(model),
    ):
        try:
            torch.default_generator.manual_seed(0)
            for device in devices:
                torch.cuda.default_generators[device.index or 0].manual_seed(0)
            model.eval()
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            for module, mode in modes.items():
                module.training = mode
