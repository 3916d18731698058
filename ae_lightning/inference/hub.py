"""Push a model to the Hugging Face Hub, or pull one: weights as safetensors, the rest as JSON.

Where the hub is, and who one is there, huggingface_hub reads from HF_ENDPOINT, HF_TOKEN and what
`hf auth login` has kept.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.extras import require_packages
from ae_lightning.core.outputs import output_folder, output_path
from ae_lightning.inference.model_cards import write_card
from ae_lightning.inference.trained import TrainedModel, load
from ae_lightning.inference.weight_folders import (
    DESCRIPTION,
    MOST_JSON,
    WEIGHTS,
    read_description,
    write_weight_folder,
)


def push(model: str | Path | TrainedModel, repo: str, private: bool = False) -> str:
    """Push a model and its card to a repository, which is made if there is none.

    Args:
        model: a run, a checkpoint, a folder of weights or a loaded model.
        repo: its name, such as "ada/digits".
        private: whether a new one is hidden from others.

    Returns:
        The address of the commit.

    Raises:
        UsageError: if there is no such model, or the hub refuses it or cannot be reached.
    """
    hub = hub_package()
    trained = model if isinstance(model, TrainedModel) else load(model)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_card(trained, write_weight_folder(trained, folder), folder)
        with told(f"the model cannot be pushed to {repo}"):
            api = hub.HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo, folder_path=folder, commit_message="Push a model of ae-lightning"
            )
    return str(done.commit_url)


def pull(repo: str, out: str | Path, revision: str | None = None, force: bool = False) -> Path:
    """Pull a model into a folder, for `load`, and return its path.

    Nothing but the weights and their description is fetched, and both are checked: a stranger's
    model runs no code.

    Args:
        repo: its name, such as "ada/digits".
        out: the folder.
        revision: a branch, a tag or a commit; the newest, if None.
        force: whether to replace files that are there.

    Raises:
        UsageError: if there is no such model, it is none of this package, is damaged, or names what
            is not trusted; or if the hub cannot be reached.
    """
    hub, path = hub_package(), output_path(out, force)
    with output_folder(path) as folder, told(f"{repo} cannot be pulled"):
        address = hub.hf_hub_url(repo, DESCRIPTION, revision=revision)
        size = hub.get_hf_file_metadata(address).size or 0
        if size > MOST_JSON:
            raise UsageError(
                f"{repo} has a {DESCRIPTION} of {size:,} bytes: expected at most {MOST_JSON:,}."
            )
        hub.hf_hub_download(repo, DESCRIPTION, revision=revision, local_dir=folder)
        read_description(folder / DESCRIPTION)
        hub.hf_hub_download(repo, WEIGHTS, revision=revision, local_dir=folder)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of the download
        load(folder)
    return path


def hub_package() -> Any:
    """Huggingface_hub, with progress shown on a terminal alone."""
    require_packages("the hub", "hub", ["huggingface_hub"])
    import huggingface_hub
    from huggingface_hub.utils import disable_progress_bars
    from rich import get_console

    if not get_console().is_terminal:
        disable_progress_bars()
    return huggingface_hub


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what the hub answers, or that it does not, into one sentence.

    Raises:
        UsageError: what cannot be done, and why.
    """
    known = {
        "RepositoryNotFoundError": "there is no such repository, or it is private: hf auth login",
        "RevisionNotFoundError": "it has no such revision",
        "EntryNotFoundError": "it holds no model of ae-lightning",
    }
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        names = [kind.__name__ for kind in type(error).__mro__]
        if isinstance(error, OSError) and error.filename is not None:  # of this machine's disk
            raise
        said = next((known[name] for name in names if name in known), "")
        said = said or " ".join(str(error).split()) or names[0]
        raise UsageError(f"{what}: {printable(said, 240).rstrip('.')}.") from error
