"""Weights & Biases, as a run directory wants it: one id, offline where there is no way in."""

from __future__ import annotations

import netrc
import os
import secrets
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from ae_lightning import runs

RUN_ID = "wandb_id"
SERVER = "https://api.wandb.ai"
# Seconds to wait for the server: to answer at all, to open the run, to take what is left at its
# end. The first two together, with what wandb needs beside them, stay below 15.
ANSWER, OPEN, CLOSE = 3.0, 5.0, 12.0

Upload = bool | Literal["all"]


class WeightsAndBiases(WandbLogger):
    """Lightning's logger, which goes on offline where the server cannot be reached in time.

    Args:
        upload: whether the best checkpoint is sent as an artifact at the end of training, or, with
            "all", whenever there is a better one.
        others: the arguments of Lightning's WandbLogger.
    """

    def __init__(self, upload: Upload = False, **others: Any) -> None:
        super().__init__(**others)
        self.upload = upload
        self._wandb_init.pop("anonymous", None)  # passed on unasked, and wandb warns of it

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            import wandb

            # A variable of the environment is stronger than these, as everywhere in wandb.
            limits = {"init_timeout": OPEN, "finish_timeout": CLOSE}
            limits = {k: v for k, v in limits.items() if f"WANDB_{k.upper()}" not in os.environ}
            self._wandb_init.setdefault("settings", wandb.Settings(**limits))
            try:
                return super().experiment
            except wandb.errors.Error as error:
                reason = str(error).splitlines()[0]
                print(f"Weights & Biases: offline, since the server failed ({reason})", flush=True)
                self._wandb_init["mode"] = "offline"
        return super().experiment


class Tracking(Callback):
    """Send the best checkpoint to W&B where that is asked for, and end its run with training."""

    def __init__(self, logger: WeightsAndBiases) -> None:
        self.logger = logger
        self._sent: float | None = None  # when the checkpoint that was sent last was written

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.logger.upload == "all":
            self._send(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.logger.upload:
            self._send(trainer)
        self._finish(trainer, 0)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._finish(trainer, 1)

    def _send(self, trainer: Trainer) -> None:
        best = Path(trainer.default_root_dir, runs.CHECKPOINTS, runs.BEST)
        if not (trainer.is_global_zero and best.exists()) or best.stat().st_mtime == self._sent:
            return
        import wandb

        self._sent = best.stat().st_mtime
        run = self.logger.experiment
        artifact = wandb.Artifact(f"model-{run.id}", "model", metadata=self._figures(trainer))
        artifact.add_file(str(best))  # copied, since a better one may take its place
        run.log_artifact(artifact, aliases=["latest", "best"])

    @staticmethod
    def _figures(trainer: Trainer) -> dict[str, float]:
        return {k: float(v) for k, v in trainer.callback_metrics.items() if k[:4] == "val/"}

    def _finish(self, trainer: Trainer, code: int) -> None:
        if trainer.is_global_zero and self.logger._experiment is not None:
            self.logger._experiment.finish(exit_code=code)


def fill_in(logger: Any, run: Path) -> str:
    """Fill in a WandbLogger's arguments for a run; return a line that says where its records go.

    The id is kept in the run's directory, so that a resumed run goes on under it.
    """
    arguments = logger.init_args
    logger.class_path = f"{__name__}.WeightsAndBiases"
    arguments.upload, arguments.log_model = arguments.log_model, False
    file = run / RUN_ID
    if arguments.id is None:
        # A sweep's agent has chosen one.
        chosen = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        arguments.id = file.read_text().strip() if file.exists() else chosen
    arguments.save_dir = str(run)
    arguments.name = arguments.name or run.name
    why = ""
    if runs.first_process():
        file.write_text(arguments.id)
        why = "as told" if arguments.offline else reason_for_offline()
    if not why:
        return f"Weights & Biases: run {arguments.id}"
    arguments.offline = True
    os.environ.setdefault("WANDB_SILENT", "true")
    later = f"wandb sync {run}/wandb/offline-run-*"
    return f"Weights & Biases: run {arguments.id}, offline {why}; later: {later}"


def reason_for_offline() -> str:
    """Why a run cannot be sent to the server; nothing, where it can or the environment decides."""
    if "WANDB_MODE" in os.environ:
        return ""
    if not has_credentials():
        return "for want of credentials"
    if not answers(server()):
        return f"since {server()} does not answer"
    return ""


def server() -> str:
    """The address that records are sent to."""
    return os.environ.get("WANDB_BASE_URL", SERVER)


def has_credentials() -> bool:
    """Whether an API key is in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(urlparse(server()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def answers(url: str, seconds: float = ANSWER) -> bool:
    """Whether a server says anything at all within so many seconds."""
    heard = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=seconds).close()
        except urllib.error.HTTPError:  # an answer too
            pass
        except (OSError, ValueError):
            return
        heard.set()

    # In a thread, since looking up a name has no limit of its own.
    threading.Thread(target=ask, daemon=True).start()
    return heard.wait(seconds)
