"""Weights & Biases: a logger that falls back to offline, artifacts, and an end in time."""

import netrc
import os
import queue
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlparse

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from ae_lightning.core.errors import UsageError
from ae_lightning.core.printing import tell
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_writing import Checkpoints
from ae_lightning.training.private import init_arguments, opened_run
from ae_lightning.training.wandb_records import rows_in

SERVER: Final = "https://api.wandb.ai"
# Seconds that the server may take to say anything at all, to open a run, and to receive what is
# left at its end.
ANSWER: Final = 3.0
OPEN: Final = 6.0
CLOSE: Final = 10.0

Upload = bool | Literal["all"]


class WeightsAndBiases(WandbLogger):
    """Lightning's logger, which falls back to offline if the server fails.

    Args:
        upload: whether to send the best checkpoint as an artifact at the end of training, or, if
            "all", whenever there is a better one.
        offline: whether all records stay on the disk.
        others: the arguments of Lightning's WandbLogger.

    Raises:
        UsageError: on first use, if W&B refuses the arguments.
    """

    def __init__(self, upload: Upload = False, offline: bool = False, **others: Any) -> None:
        # W&B's reports on itself and its questions about the user have no time limit. Both are read
        # from the environment alone: when wandb is imported, and when it is set up.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB__DISABLE_VIEWER", "true")
        # The parser passes None for what was not given, such as `resume`, which is then "allow".
        super().__init__(**{name: value for name, value in others.items() if value is not None})
        self.upload = upload
        self._init = init_arguments(self)
        self._init.pop("anonymous", None)  # Lightning always passes it, and wandb warns of it
        # The service that writes may have been started in another folder, and be shared.
        self._init["dir"] = os.path.abspath(self._init["dir"])
        if offline:  # Lightning would set it for the whole environment
            self._init["mode"] = "offline"

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if opened_run(self) is None:
            import wandb

            self._init.setdefault("settings", settings())
            try:
                return self._opened()
            except wandb.errors.UsageError as error:
                raise UsageError(f"trainer.logger: {first_line(error)}.") from error
            except wandb.errors.Error as error:
                wandb.teardown(exit_code=1)  # its process would keep the run's id
                self._init["mode"] = "offline"
                tell(f"Weights & Biases: offline, since {first_line(error)}")
                return self._opened()
        return super().experiment

    def _opened(self) -> Any:
        """Open the run, and count on from its former offline records, which are sent later."""
        run = super().experiment
        if run.step < (rows := rows_in(Path(self._init["dir"]), run.id)):
            run.log({}, step=rows)
        return run


class Tracking(Callback):
    """Send the best checkpoint to W&B on request, and end its run with training."""

    def __init__(self, logger: WeightsAndBiases) -> None:
        self.logger = logger
        self._sent: float | None = None  # when the checkpoint sent last was saved

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
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
        best = Path(trainer.default_root_dir, run_directory.CHECKPOINTS, run_directory.BEST)
        if not (trainer.is_global_zero and best.exists()) or best.stat().st_mtime == self._sent:
            return
        import wandb

        self._sent = best.stat().st_mtime
        run = self.logger.experiment
        keepers = (c for c in trainer.checkpoint_callbacks if isinstance(c, Checkpoints))
        figures = dict(next((c.best for c in keepers), {}))
        artifact = wandb.Artifact(f"model-{run.id}", "model", metadata=figures)
        artifact.add_file(str(best))  # a copy, since a better one may replace it
        run.log_artifact(artifact, aliases=["latest", "best"])

    def _finish(self, trainer: Trainer, code: int) -> None:
        run = opened_run(self.logger)
        if not trainer.is_global_zero or run is None:
            return
        try:
            run.finish(exit_code=code)
        except Exception as error:  # whatever it is, training is over
            tell(f"Weights & Biases: {first_line(error)}; later: wandb sync")


def reason_for_offline() -> str:
    """Say why a run cannot be sent to the server; "" if it can, or if the environment decides."""
    if "WANDB_MODE" in os.environ:
        return ""
    if not has_credentials():
        return "since no credentials were found"
    return "" if answers(server()) else f"since {server()} does not answer"


def server() -> str:
    """Return the address that records are sent to."""
    return os.environ.get("WANDB_BASE_URL", SERVER)


def has_credentials() -> bool:
    """Whether an API key is in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        known = netrc.netrc(os.environ.get("NETRC"))
        return known.authenticators(urlparse(server()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def answers(url: str) -> bool:
    """Whether a server says anything at all, in time."""
    answered = queue.SimpleQueue[bool]()

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=ANSWER).close()
            answered.put(True)
        except urllib.error.URLError as error:
            # A refusal is an answer too; which certificates are trusted is for wandb to decide.
            refusal = isinstance(error, urllib.error.HTTPError)
            answered.put(refusal or isinstance(error.reason, ssl.SSLError))
        except Exception:
            answered.put(False)

    # In a thread, since looking up a name has no time limit of its own.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answered.get(timeout=ANSWER)
    except queue.Empty:
        return False


def settings() -> Any:
    """Limit how long wandb may wait, if the environment does not say."""
    import wandb

    ours: dict[str, Any] = {"init_timeout": OPEN, "finish_timeout": CLOSE}
    told = {name for name in ours if f"WANDB_{name.upper()}" in os.environ}
    return wandb.Settings(**{k: v for k, v in ours.items() if k not in told})


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its name if it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
