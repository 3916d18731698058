"""What a run has reached, and where its files lie."""

from pathlib import Path
from typing import Any

from ae_lightning.core.errors import printable
from ae_lightning.core.files import path_of
from ae_lightning.core.printing import LONGEST_LINE, beside, tell
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_reading import read_checkpoint, validation
from ae_lightning.training.checkpoint_schema import MODEL

# The figures of validation that a summary shows if the model has them, and their units.
SUMMARISED = {
    "elbo": ("ELBO", "nats"),
    "distortion": ("distortion", "nats"),
    "rate": ("rate", "nats"),
    "active_units": ("active units", ""),
    "mse": ("mean squared error", "per value"),
    "psnr": ("PSNR", "dB"),
}


def summary(run: Path) -> None:
    """Print what a run has reached: its best validation, and where its files lie.

    Args:
        run: the run's directory.

    Raises:
        UsageError: if it holds no run, or no checkpoint.
    """
    run = path_of(run, "run")
    best = run_directory.best_checkpoint(run)
    checkpoint = read_checkpoint(best)
    figures = validation(checkpoint)
    rows = dict[str, str]()
    for name, (label, unit) in SUMMARISED.items():
        if (value := figures.get(f"val/{name}")) is not None:
            if name == "active_units":
                size = checkpoint[MODEL]["init_args"].get("latent")
                rows[label] = f"{value:.0f} of {size}" if size else f"{value:.0f}"
            else:
                rows[label] = f"{value:.4g} {unit}".strip()
    for label, path in places(run, best).items():
        rows[label] = printable(str(path), LONGEST_LINE)
    # A path that is broken is none to copy: where it is too long, the terminal folds it.
    tell(caption(checkpoint, best), *beside(rows, max(map(len, rows)) + 4, LONGEST_LINE))


def caption(checkpoint: dict[str, Any], file: Path) -> str:
    """The title of the summary: which validation it shows."""
    figures = validation(checkpoint)
    if not figures:
        return f"{file.name}, without a validation"
    kind = "best" if file.name == run_directory.BEST else "newest"
    return f"{kind} validation: epoch {figures['epoch']:.0f}, step {figures['step']:.0f}"


def places(run: Path, checkpoint: Path) -> dict[str, Path]:
    """Where a run's files lie, those that exist."""
    found = {"run": run, "checkpoint": checkpoint, "metrics": run / run_directory.METRICS}
    pictures = (run / run_directory.PICTURES / "reconstructions").glob("*.png")
    if newest := max(pictures, key=lambda p: p.lstat().st_mtime, default=None):
        found["picture"] = newest
    found["page"] = run / run_directory.PAGE
    return {label: path for label, path in found.items() if path.exists()}
