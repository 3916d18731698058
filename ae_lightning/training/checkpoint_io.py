"""How the bytes of a checkpoint reach the disk and come back."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from ae_lightning.core.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Save a checkpoint whole and sealed, or leave the former one; load it, unpickling nothing."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(Path(path), sealed=True) as file:
            torch.save(checkpoint, file)  # type: ignore[arg-type]

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return torch.load(path, "cpu", weights_only=True)  # type: ignore[no-any-return]
