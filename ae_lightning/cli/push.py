"""A trained model to the Hugging Face Hub."""

from pathlib import Path

from ae_lightning.core.printing import tell
from ae_lightning.inference import hub


def push(model: Path, repo: str, *, private: bool = False) -> None:
    """Push a model to the Hugging Face Hub, as safetensors and JSON, with a card.

    Args:
        model: a run, for its best checkpoint; a checkpoint; or a folder of weights.
        repo: where to, such as ada/digits; it is made if there is none.
        private: hide a new repository from others.

    Raises:
        UsageError: if there is no such model, or the hub refuses it or cannot be reached.
    """
    tell(f"{repo}: {hub.push(model, repo, private)}")
