"""The weights that a validation evaluates, also if a callback exchanges them for it (EMA)."""

import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from ae_lightning.training import run_directory
from ae_lightning.training.fingerprint import fingerprint, of_weights


class EvaluatedWeights:
    """See to it that the best checkpoint holds what was evaluated, and that no weights are lost.

    A copy of the weights is taken only if a validation evaluates others than those in training.
    """

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] | None = None  # the copy
        self.exchanged = False  # whether all processes have taken one
        self._trained: Any = None  # the fingerprints of those in training, …
        self._seen: Any = None  # … of those that were evaluated, …
        self._held: Any = None  # … and of what the state saved last holds
        self._final: Any = None

    def begin(self, trainer: Trainer) -> None:
        """Note the weights in training: in `on_validation_start`."""
        self.forget()
        self._trained = of_weights(trainer.lightning_module)

    def not_begun(self, trainer: Trainer) -> bool:
        """Whether the weights in place are still those in training."""
        return bool(self._trained == of_weights(trainer.lightning_module))

    def end(self, trainer: Trainer) -> None:
        """Note the weights that were evaluated, before other callbacks put the former ones back."""
        self._seen = of_weights(trainer.lightning_module)
        exchanged = self._seen != self._trained
        self.exchanged = trainer.strategy.reduce_boolean_decision(exchanged, all=False)
        if self.exchanged:
            whole = trainer.strategy.lightning_module_state_dict()
            self.weights = {
                name: tensor.detach().to("cpu", copy=True) for name, tensor in whole.items()
            }

    def forget(self) -> None:
        """Let go of the weights that were evaluated."""
        self.weights, self._seen, self.exchanged = None, None, False

    def missing(self, trainer: Trainer, held: dict[str, Tensor]) -> bool:
        """Whether a checkpoint that is being saved holds other weights than were evaluated.

        Args:
            held: what it holds under the model's names: whatever callbacks have put there.
        """
        self._held = fingerprint(held)
        if self.weights is not None:
            lacking = self._held != fingerprint(self.weights)
            return bool(trainer.strategy.broadcast(lacking))  # rank zero alone holds all
        if self._seen is not None and self._seen != of_weights(trainer.lightning_module):
            warnings.warn(
                "a callback has changed the weights since they were validated, and the best "
                "checkpoint holds the changed ones.",
                stacklevel=2,
            )
        return False

    def finish(self, trainer: Trainer) -> None:
        """Note the weights that training ends with: in `on_train_end`, before other callbacks."""
        self._final = of_weights(trainer.lightning_module)

    def keep_final(self, trainer: Trainer) -> None:
        """Save the weights that a callback has left at the end (SWA), if no state has them."""
        left = of_weights(trainer.lightning_module)
        if self._held is None or left in (self._final, self._held):
            return
        file = Path(trainer.default_root_dir, run_directory.CHECKPOINTS, run_directory.FINAL)
        trainer.save_checkpoint(file, weights_only=True)
        rank_zero_info(
            f"a callback has changed the weights at the end: no validation has seen them, and "
            f"{run_directory.BEST} does not hold them. They are in {file}."
        )
