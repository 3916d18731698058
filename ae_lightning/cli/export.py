"""A trained model as files for other programs."""

from pathlib import Path

from ae_lightning.core.printing import tell
from ae_lightning.inference import exports


def export(
    model: Path,
    *,
    out: Path,
    to: str = "onnx",
    parts: str | None = None,
    force: bool = False,
) -> None:
    """Write a model's parts as files that need none of this package, and a card beside them.

    Each is checked against the model on the spot, to 1e-5, and takes batches of any size.

    Args:
        model: a run, for its best checkpoint; a checkpoint; or a folder of weights.
        out: the folder to write into.
        to: onnx, torch (a program of torch.export), or safetensors (all weights, to be loaded).
        parts: of encoder, decoder and reconstruct, joined by commas; by default, all.
        force: replace files in OUT, if it exists.

    Raises:
        UsageError: if there is no such model, or a part cannot go.
    """
    names = None if parts is None else [name.strip() for name in parts.split(",") if name.strip()]
    path = exports.export(model, out, to, names, force)
    written = sorted(file.name for file in path.iterdir() if file.is_file())
    tell(f"{path}: {', '.join(written)}")
