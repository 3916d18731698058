"""Weights & Biases, as a run directory wants it."""

from __future__ import annotations

import netrc
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

RUN_ID = "wandb_id"
TIMEOUT = "15"  # seconds that a run may wait for the server before it starts


def wandb_arguments(run: Path) -> tuple[dict[str, Any], str]:
    """Return WandbLogger's arguments for a run, and a line that says where its records go.

    The id is kept in the run's directory, so that a resumed run goes on under it.
    """
    os.environ.setdefault("WANDB_INIT_TIMEOUT", TIMEOUT)
    file = run / RUN_ID
    if file.exists():
        identifier = file.read_text().strip()
    else:
        identifier = secrets.token_hex(4)
        file.write_text(identifier)
    offline = "WANDB_MODE" not in os.environ and not has_credentials()
    note = f"Weights & Biases: run {identifier}"
    if offline:
        os.environ.setdefault("WANDB_SILENT", "true")
        note += f", offline (no credentials here); later: wandb sync {run}/wandb/offline-run-*"
    return {"save_dir": str(run), "id": identifier, "name": run.name, "offline": offline}, note


def has_credentials() -> bool:
    """Whether an API key is in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    try:
        return netrc.netrc().authenticators(host or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False
