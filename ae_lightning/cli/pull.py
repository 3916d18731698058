"""A model from the Hugging Face Hub."""

from pathlib import Path

from ae_lightning.core.printing import tell
from ae_lightning.inference import hub


def pull(repo: str, *, out: Path, revision: str | None = None, force: bool = False) -> None:
    """Pull a model from the Hugging Face Hub into a folder, which then stands for it.

    Args:
        repo: its name, such as ada/digits.
        out: the folder to write into.
        revision: a branch, a tag or a commit; by default, the newest.
        force: replace files in OUT, if it exists.

    Raises:
        UsageError: if there is no such model, or it is not one that can be loaded safely.
    """
    path = hub.pull(repo, out, revision, force)
    tell(f"{path}: the model of {repo}, as ae-lightning encode {path} DATA takes it")
