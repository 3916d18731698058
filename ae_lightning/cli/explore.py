"""A page in the browser to play with a model."""

from pathlib import Path
from typing import Final

from ae_lightning.core.errors import UsageError
from ae_lightning.core.printing import tell
from ae_lightning.inference.exploring import Explorer
from ae_lightning.inference.exploring_page import page_of
from ae_lightning.inference.inputs import opened
from ae_lightning.inference.reading import Reading

EXAMPLES: Final = 2000  # on the map
LAST_PORT: Final = 65_535


def explore(
    model: Path,
    *data: str,
    split: str | None = None,
    limit: int = EXAMPLES,
    device: str = "auto",
    host: str = "127.0.0.1",
    port: int = 7860,
    reading: Reading | None = None,
) -> None:
    """Open a page on this machine: move through codes, along tangents, between and out of noise.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: a folder, image files, an array file or a shipped data set such as mnist; that of
            training, if none is given.
        split: train, val or test; by default, all.
        limit: how many examples to show at most.
        device: auto, cpu, cuda, cuda:1, ….
        host: whom to serve: by default this machine alone; 0.0.0.0 serves all that can reach it.
        port: the port to serve at.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or no such data, they are no images, the port is taken
            or gradio is not installed.
    """
    if not 0 < port <= LAST_PORT:
        raise UsageError(f"port is {port}: expected 1 to {LAST_PORT}.")
    page, options = page_of(Explorer(*opened(model, data, split, limit, device, reading)))
    try:
        _, address, _ = page.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, **options
        )
    except OSError:
        raise UsageError(
            f"port {port} of {host} is taken, or cannot be served: try --port."
        ) from None
    tell(f"{address} shows {model}; end it with Ctrl+C")
    page.block_thread()
