"""Two small runs: one on digits, one on a folder of images in classes."""

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_lightning.cli.main import main
from ae_lightning.inference import TrainedModel, load
from helpers.runs import FIT


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A variational autoencoder of digits, two epochs old."""
    run = tmp_path_factory.mktemp("digits") / "run"
    assert main([*FIT, "--trainer.max_epochs", "2", "--run", str(run)]) == 0
    return run


@pytest.fixture(scope="session")
def digits(run: Path) -> TrainedModel:
    return load(run)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 images in two classes, of two formats, and none of the model's size."""
    folder, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for i in range(24):
        kind = folder / ("cats" if i % 2 else "dogs")
        kind.mkdir(exist_ok=True)
        grey = draw.integers(0, 256, (1, 1, 3)) + draw.integers(0, 30, (12, 20, 3))
        image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
        image.save(kind / f"{i:02}.{'png' if i % 3 else 'jpg'}")
    return folder


@pytest.fixture(scope="session")
def of_photographs(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A denoising run on them, of size 8."""
    run = tmp_path_factory.mktemp("of_photographs") / "run"
    args = ["--config", "denoising", "--config", "folder", "--data.path", str(photographs)]
    args += ["--data.resize", "8", "--data.num_workers", "0", "--data.fit", "stretch"]
    small = ["--model.encoder.widths", "[8]", "--model.decoder.widths", "[8]"]
    with chdir(run.parent):
        short = ["--trainer.max_epochs", "1", "--run", str(run)]
        assert main(["fit", *args, *small, "--model.latent", "4", *short]) == 0
    return run
