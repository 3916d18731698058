"""Every logger gets the pictures and their figures, at their steps."""

import io
import json
import time

import numpy as np
from lightning.pytorch.loggers import Logger
from PIL import Image

from ae_lightning.callbacks import LatentTraversal, Reconstructions
from ae_lightning.training.metrics_csv import MetricsFile
from helpers.noting import Noting, trained
from helpers.wandb_files import records


class Images(Logger):
    """A logger that takes images as TensorBoard does."""

    name, version = "images", 0

    def __init__(self) -> None:
        super().__init__()
        self.experiment, self.added = self, []

    def log_metrics(self, metrics, step=None) -> None: ...

    def log_hyperparams(self, *args, **kwargs) -> None: ...

    def add_image(self, tag, image, step, dataformats) -> None:
        self.added.append((tag, image, step, dataformats))


def test_every_logger_gets_the_picture_and_its_figures(tmp_path) -> None:
    images = Images()
    trained(tmp_path, Noting(), logger=[images, MetricsFile(tmp_path)])
    ((tag, image, step, dataformats),) = images.added
    assert (tag, step, dataformats) == ("pictures/noting", 6, "HWC")
    assert np.array_equal(image, np.asarray(Image.open(tmp_path / f"{tag}/6.png").convert("RGB")))
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert rows[0].split(",").count("val/ink") == 1
    assert any(row.split(",")[rows[0].split(",").index("val/ink")] == "0.5" for row in rows[1:])


def test_weights_and_biases_gets_pictures_and_films_at_their_steps(tmp_path, monkeypatch) -> None:
    from lightning.pytorch.loggers import WandbLogger

    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    traversal = LatentTraversal(1, items=20, animated=True)
    trained(tmp_path, Reconstructions(1), traversal, logger=logger)
    logger.experiment.finish()
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 60  # finish() does not wait for W&B's own process to write
    while not any(r.HasField("exit") for r in records(file)) and time.monotonic() < deadline:
        time.sleep(0.1)
    logged = {}
    for record in records(file):
        items = {tuple(i.nested_key): json.loads(i.value_json) for i in record.history.item}
        for (key, *field), value in items.items():
            if field in (["filenames"], ["videos"]):
                logged.setdefault(key, []).append(items[("trainer/global_step",)])
                path = value[0] if field == ["filenames"] else value[0]["path"]
                assert (file.parent / "files" / path).stat().st_size > 500
    assert logged == {
        "pictures/reconstructions": [3, 6],
        "pictures/latent_traversal": [3, 6],
        "pictures/latent_traversal_film": [3, 6],
    }


def test_tensorboard_gets_pictures_and_figures_at_their_steps(tmp_path) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="board")
    picture = Reconstructions(every_n_epochs=1, items=20)
    trained(tmp_path, picture, Noting(), logger=logger)
    logger.experiment.close()
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0, "scalars": 0}).Reload()
    assert set(events.Tags()["images"]) == {"pictures/reconstructions", "pictures/noting"}
    drawn = events.Images("pictures/reconstructions")
    assert [event.step for event in drawn] == [3, 6]
    for event in drawn:
        image = Image.open(io.BytesIO(event.encoded_image_string))
        file = tmp_path / f"pictures/reconstructions/{event.step}.png"
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(file).convert("RGB")))
    assert [(e.step, e.value) for e in events.Scalars("val/ink")] == [(6, 0.5)]
    assert [e.step for e in events.Scalars("train/loss")] == [5]  # of 6, at every fifth
    assert [e.step for e in events.Scalars("val/loss")] == [3, 6]
