"""Weights & Biases, as a run directory wants it."""

from __future__ import annotations

import netrc
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger

from ae_lightning import runs

RUN_ID = "wandb_id"
TIMEOUT = "15"  # seconds that a run may wait for the server before it starts


def fill_in(arguments: Any, run: Path) -> str:
    """Fill in WandbLogger's arguments for a run; return a line that says where its records go.

    The id is kept in the run's directory, so that a resumed run goes on under it.
    """
    os.environ.setdefault("WANDB_INIT_TIMEOUT", TIMEOUT)
    file = run / RUN_ID
    if arguments.id is None:
        arguments.id = file.read_text().strip() if file.exists() else secrets.token_hex(4)
    if runs.first_process():
        file.write_text(arguments.id)
    arguments.save_dir = str(run)
    arguments.name = arguments.name or run.name
    arguments.offline |= "WANDB_MODE" not in os.environ and not has_credentials()
    if not arguments.offline:
        return f"Weights & Biases: run {arguments.id}"
    os.environ.setdefault("WANDB_SILENT", "true")
    later = f"wandb sync {run}/wandb/offline-run-*"
    return f"Weights & Biases: run {arguments.id}, offline for want of credentials; later: {later}"


def without_anonymous(logger: Logger) -> Logger:
    """Drop an argument that Lightning passes on unasked, and that wandb warns of."""
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return logger


def has_credentials() -> bool:
    """Whether an API key is in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc().authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
