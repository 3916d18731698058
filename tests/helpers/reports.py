"""A run with a page, and what a page shows."""

import base64
import io
import re
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image

from ae_lightning import systems
from ae_lightning.callbacks import Codes, Report
from ae_lightning.datamodules import Digits
from ae_lightning.nn import MLP
from ae_lightning.training.metrics_csv import MetricsFile
from helpers.training import quiet_trainer

DRAWN = {"curves", "reconstructions", "prior_samples", "codes", "filters", "kl_per_dimension"}


def small_model() -> systems.VariationalAutoEncoder:
    return systems.VariationalAutoEncoder((1, 8, 8), 3, MLP([16]), MLP([16]))


def recording_trainer(directory: Path, epochs: int, *callbacks: Callback) -> Trainer:
    options = {"max_epochs": epochs, "logger": MetricsFile(directory), "log_every_n_steps": 2}
    return quiet_trainer(directory, callbacks=list(callbacks), **options)


def reported_run(directory: Path) -> Path:
    """Make a run with a page, and a checkpoint."""
    torch.manual_seed(0)
    model = small_model()
    report = Report(names=sorted(DRAWN - {"codes"}))
    trainer = recording_trainer(directory, 2, report, Codes(every_n_epochs=1, items=30))
    (directory / "config.yaml").write_text("model: <small & plain>\n")
    trainer.fit(model, datamodule=Digits(batch_size=400))
    trainer.save_checkpoint(directory / "checkpoints" / "best.ckpt")
    return directory


def images(page: str) -> dict[str, Image.Image]:
    """The pictures in a page, by their section."""
    found = {}
    for section in page.split("<section ")[1:]:
        if 'class="missing"' in section:
            continue
        name = re.match('id="(.*?)"', section).group(1)
        data = re.search(r'src="data:image/png;base64,(.*?)"', section).group(1)
        found[name] = Image.open(io.BytesIO(base64.b64decode(data)))
    return found


def sections(page: str) -> dict[str, str]:
    """The HTML of every section by name, in the order of the page."""
    return {s.partition('id="')[2].partition('"')[0]: s for s in page.split("<section")[1:]}
