"""A notebook shows what it should: figures, short objects and one bar; and those of docs/ hold."""

import base64
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

import ae_lightning
from helpers.notebooks import of_code, outputs, run, seen

NOTEBOOKS = sorted((Path(ae_lightning.__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
BEGIN = """
from lightning.pytorch import Trainer
from ae_lightning import VariationalAutoEncoder
from ae_lightning.callbacks import reconstructions
from ae_lightning.datamodules import Digits
data = Digits()
model = VariationalAutoEncoder(data.shape, latent=2)
quick = dict(max_epochs=2, log_every_n_steps=10)
"""
FIT = "trainer = Trainer(**quick); trainer.fit(model, data); _ = trainer.test(model, data)"
WITHOUT = "import sys; sys.modules['ipywidgets'] = None"
FIGURE = "reconstructions(model, data.pairs('test', range(10)))"
PYPLOT = "import matplotlib.pyplot"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Any:
    code = (BEGIN, FIT, WITHOUT, FIT, FIGURE, PYPLOT, FIGURE, "model")
    return run(of_code(*code), tmp_path_factory.mktemp("notebook")).cells


def shown(cell: Any) -> list[dict[str, str]]:
    return [seen(output) for output in cell.outputs]


@pytest.mark.parametrize("place", [1, 3], ids=["with ipywidgets", "without"])
def test_training_shows_one_line_that_counts(cells: Any, place: int) -> None:
    found = shown(cells[place])
    bars = [one["text/html"] for one in found if "<progress" in one.get("text/html", "")]
    training, test = bars
    assert re.match(r'Epoch 2/2 <progress value="20" max="20" .*20/20 batches in \d+ s, ', training)
    assert "train/loss" in training
    assert re.match(r'Test <progress value="3" max="3" .*</progress> 3/3 batches', test)


@pytest.mark.parametrize("place", [1, 3], ids=["with ipywidgets", "without"])
def test_training_says_no_more_than_is_meant(cells: Any, place: int) -> None:
    found = shown(cells[place])
    said = "".join(one.get("stderr", "") for one in found)
    assert said == "`Trainer.fit` stopped: `max_epochs=2` reached.\n"
    for one in found:
        for kind, text in one.items():
            assert kind in ("text/html", "stderr"), text
            assert "ipywidgets" not in text
            assert all(line.isprintable() for line in text.split("\n"))


def test_a_picture_is_shown_whether_or_not_pyplot_is_loaded(cells: Any) -> None:
    for place in (4, 6):
        (one,) = shown(cells[place])
        image = Image.open(BytesIO(base64.b64decode(one["image/png"])))
        assert image.width > 600


def test_a_model_is_a_table(cells: Any) -> None:
    (one,) = shown(cells[7])
    assert "VariationalAutoEncoder" in one["text/html"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_pictures_show(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored with its outputs"
    done = run(notebook, tmp_path)
    found = [seen(output) for output in outputs(done)]
    assert sum("image/png" in one for one in found) >= 3
    assert any("proved" in one.get("text/html", "") for one in found)
    said = "".join(one.get("stderr", "") for one in found)
    assert re.fullmatch(r"(`Trainer\.fit` stopped: `max_epochs=\d+` reached\.\n)*", said), said
    assert notebook.cells[-2].source.startswith("## Change and see")
