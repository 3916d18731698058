"""Look at a model without a trace: its modes and all random states stay as they were."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch

from ae_lightning.model import Model
from ae_lightning.training.compilation import uncompiled

from .theme import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = TypeVar("Drawing", bound=Callable[..., "Figure"])


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


def picture(draw: Drawing) -> Drawing:
    """Make a function of a model, its first argument, draw in the house style without a trace.

    See `observing`.
    """

    @wraps(draw)
    def drawn(model: Model, *args: Any, **kwargs: Any) -> Figure:
        with observing(model), house_style():
            figure = draw(model, *args, **kwargs)
            # One pass of the layout makes axes of equal scale, and their surroundings, too large.
            boxes = (a.get_aspect() != "auto" and a.get_adjustable() == "box" for a in figure.axes)
            if figure.get_layout_engine() is not None and any(boxes):
                figure.draw_without_rendering()
            return figure

    return cast(Drawing, drawn)
