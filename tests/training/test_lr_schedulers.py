"""A scheduler of one's own goes on where it stood, also if its state holds a function."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ae_lightning.core.types import Pair
from helpers.models import SHAPE, model_of
from helpers.training import fit


class Falling(LRScheduler):
    """The rate over a function of the epoch, which its state holds, as torch leaves none out."""

    def __init__(self, optimizer: Optimizer, power: float) -> None:
        self.divisor = lambda epoch: (1 + epoch) ** power
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [lr / self.divisor(self.last_epoch) for lr in self.base_lrs]


def test_a_function_in_a_schedulers_state_is_left_out_of_checkpoints(tmp_path: Path) -> None:
    x = torch.rand(2, 5, *SHAPE, dtype=torch.float64)
    pairs = [Pair(each, each, torch.zeros(5), torch.arange(5)) for each in x]
    whole, half, rest = (model_of(lr_schedule=partial(Falling, power=2.0)) for _ in range(3))
    fit(whole, pairs, max_epochs=4)
    file = tmp_path / "half.ckpt"
    fit(half, pairs, max_epochs=2).save_checkpoint(file)
    [state] = torch.load(file, weights_only=True)["lr_schedulers"]
    assert state["last_epoch"] == 2
    assert "divisor" not in state
    trainer = fit(rest, pairs, resume=file, max_epochs=4)
    assert trainer.lr_scheduler_configs[0].scheduler.get_last_lr() == [3e-3 / 25]
    for p, q in zip(whole.parameters(), rest.parameters(), strict=True):
        assert torch.equal(p, q)
