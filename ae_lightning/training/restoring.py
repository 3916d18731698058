"""A module that takes what a checkpoint holds only once it has been checked."""

from pathlib import Path
from typing import Any, Self

from lightning.pytorch import LightningModule

from ae_lightning.core.files import path_of
from ae_lightning.training import accumulated_gradients
from ae_lightning.training.checkpoint_fitting import check_optimization, check_states
from ae_lightning.training.checkpoint_reading import read_checkpoint, rebuild_model, require_format
from ae_lightning.training.checkpoint_schema import check_structure
from ae_lightning.training.checkpoint_weights import check_weights
from ae_lightning.training.warm_start import init_from


class Restored(LightningModule):
    """A module that is rebuilt from a checkpoint, resumed from one, or started from its weights."""

    _loading: dict[str, Any] | None = None  # a checkpoint, until its optimizers are made

    def init_from(self, path: str | Path) -> list[str]:
        """Start from the weights of another run or checkpoint, and return the layers left out.

        A layer is taken if its tensors have the same names and shapes there; a part that is taken
        whole is not centred anew on the first batch.

        Raises:
            UsageError: if there is no such checkpoint, or none of its layers fits.
        """
        left = init_from(self, path)
        parts = {"encoder", "decoder", "prior"}
        self.kept = frozenset(parts - {layer.partition(".")[0] for layer in left})
        return left

    @property
    def source(self) -> str:
        """Where a checkpoint comes from, for a sentence."""
        file = self._trainer.ckpt_path if self._trainer is not None else None
        return str(file or "the checkpoint")

    def check_checkpoint(self, checkpoint: dict[str, Any], source: object) -> None:
        """Refuse a checkpoint that does not fit this model or, if it is to resume, its training.

        Raises:
            UsageError: naming the first place that is wrong.
        """
        require_format(checkpoint, str(source))
        check_structure(checkpoint, source)
        check_weights(self, checkpoint["state_dict"], source)
        if self._trainer is None or self._trainer.state.fn != "fit":
            return
        check_states(checkpoint, self._trainer, source)
        if self._trainer.optimizers:
            check_optimization(checkpoint, self._trainer, source)
        else:  # they are made later
            self._loading = checkpoint

    def check_optimizers(self) -> None:
        """Refuse a checkpoint that does not fit the optimizers, which have been made by now."""
        loading, self._loading = self._loading, None
        if loading is not None:
            check_optimization(loading, self.trainer, self.source)

    def on_train_start(self) -> None:
        if self.trainer.ckpt_path is not None:
            accumulated_gradients.reschedule(self.trainer)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: Any = "cpu", **changes: Any
    ) -> Self:
        """Rebuild a model, in evaluation mode, from a checkpoint alone, unpickling nothing.

        Args:
            changes: arguments to replace in the recorded ones.

        Raises:
            UsageError: if the file is damaged, or holds a model of another class.
        """
        file = path_of(checkpoint_path)
        checkpoint = read_checkpoint(file)
        model: Self = rebuild_model(checkpoint, cls, changes, file)
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        return model.to(map_location).eval()
