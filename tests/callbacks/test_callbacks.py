"""Callbacks: drawn when due, of fixed examples, delivered to every logger, without a trace."""

import io
import json
import random
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch.utils.data import DataLoader

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import (
    Codes,
    LatentTraversal,
    PictureCallback,
    PriorSamples,
    Reconstructions,
    Report,
    ScoreField,
    observing,
)
from ae_lightning.callbacks.drawing.examples import choose
from ae_lightning.callbacks.drawing.theme import house_style, new_figure
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import Digits
from ae_lightning.nn import MLP
from ae_lightning.training.metrics_csv import MetricsFile
from helpers.training import quiet_trainer
from helpers.wandb_files import records


class Noting(PictureCallback):
    """A picture that notes what it is drawn of."""

    name = "noting"

    def __init__(self, *args, fails: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fails, self.seen = fails, []

    def draw(self, model, pair):
        self.seen.append(pair)
        if self.fails:
            raise RuntimeError("no ink")
        return new_figure(1, 1)

    def measure(self, model, pair):
        return {"ink": 0.5}


def vae(**others) -> AutoEncoder:
    torch.manual_seed(3)
    widths = {"encoder": MLP([32], dropout=0.2), "decoder": MLP([32], dropout=0.2)}
    return systems.VariationalAutoEncoder((1, 8, 8), latent=4, **widths, **others)


def trained(
    directory: Path, *callbacks: Callback, model=None, loader=None, **arguments
) -> AutoEncoder:
    model = vae() if model is None else model
    options = {"max_epochs": 2, "log_every_n_steps": 5, "callbacks": [*callbacks], **arguments}
    trainer = quiet_trainer(directory, **options)
    data = {"datamodule": Digits(batch_size=400)} if loader is None else {}
    trainer.fit(model, *(loader or ()), **data)
    return model


def steps(directory: Path, name: str) -> list[int]:
    return sorted(int(p.stem) for p in (directory / "pictures" / name).glob("*.png"))


# ------------------------------------------------------------------------------ when


@pytest.mark.parametrize(
    ("cadence", "expected"),
    [
        ({}, [15]),
        ({"every_n_epochs": 2}, [6, 12, 15]),
        ({"every_n_steps": 4}, [4, 8, 12, 15]),
    ],
)
def test_a_picture_is_drawn_when_due_and_at_the_end(cadence, expected, tmp_path) -> None:
    picture = Noting(**cadence)
    trained(tmp_path, picture, max_epochs=5)  # of 3 steps each
    assert steps(tmp_path, "noting") == expected
    assert len(picture.seen) == len(expected)


def test_with_gradients_accumulated_a_step_is_drawn_once(tmp_path) -> None:
    picture = Noting(every_n_steps=1)
    trained(tmp_path, picture, max_epochs=2, accumulate_grad_batches=3)
    assert steps(tmp_path, "noting") == [1, 2]
    assert len(picture.seen) == 2


def test_a_picture_of_an_earlier_run_is_drawn_anew(tmp_path) -> None:
    for _ in range(2):
        trained(tmp_path, picture := Noting())
        assert len(picture.seen) == 1


def test_a_fast_dev_run_draws_nothing(tmp_path) -> None:
    trained(tmp_path, Noting(every_n_steps=1), Report(), fast_dev_run=True)
    assert not list(tmp_path.iterdir())


class Rank(Callback):
    """Make the process another than the first, from the start of training on."""

    def on_train_start(self, trainer, pl_module) -> None:
        rank_zero_only.rank = 1


def test_only_the_first_process_draws(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # put back at the end
    trained(tmp_path, Rank(), picture := Noting(every_n_epochs=1), Report(names=["codes"]))
    assert picture.seen == []
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------- of what


def test_examples_are_validation_examples_chosen_once_by_seed(tmp_path) -> None:
    trained(tmp_path, picture := Noting(every_n_epochs=1, items=7))
    first, second = picture.seen
    assert len(first.x) == 7
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))
    data = Digits()
    assert first.x.equal(data.pairs("val", first.places.tolist()).x)
    assert choose(data, 7, seed=0).places.equal(first.places)
    assert not choose(data, 7, seed=1).places.equal(first.places)


def test_without_a_datamodule_they_are_the_loaders_first(tmp_path) -> None:
    pairs = [Digits().pairs("train", range(start, start + 4)) for start in (0, 4)]
    loader = DataLoader(pairs, batch_size=None)
    trained(tmp_path, picture := Noting(items=6), loader=(loader, loader))
    assert picture.seen[0].places.tolist() == [0, 1, 2, 3, 4, 5]


def test_without_validation_pairs_there_is_no_picture(tmp_path) -> None:
    with pytest.raises(UsageError, match="needs validation pairs"):
        choose(None, 3)


# ------------------------------------------------------------------- without a trace


def states() -> tuple:
    numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy, random.getstate()


def draw_and_fail(model: AutoEncoder, drawn: list) -> None:
    with observing(model):
        drawn.append((torch.rand(1), np.random.rand(), random.random()))  # noqa: NPY002
        assert not any(m.training for m in model.modules())
        assert not torch.is_grad_enabled()
        raise KeyError


def test_observing_leaves_modes_and_random_states_as_they_were() -> None:
    model = vae().train()
    model.encoder.eval()
    modes = [m.training for m in model.modules()]
    before, drawn = states(), []
    for _ in range(2):
        with pytest.raises(KeyError):
            draw_and_fail(model, drawn)
        assert [m.training for m in model.modules()] == modes
        assert states() == before
    assert drawn[0][0].equal(drawn[1][0])


@pytest.mark.parametrize("system", ["VariationalAutoEncoder", "SparseAutoEncoder"])
def test_training_with_pictures_gives_the_same_weights_to_the_bit(system, tmp_path) -> None:
    weights = []
    for callbacks in ([], [Report(every_n_epochs=1), LatentTraversal(every_n_steps=2)]):
        torch.manual_seed(0)
        model = getattr(systems, system)((1, 8, 8), 6, MLP([16], dropout=0.3), MLP([16]))
        weights.append(trained(tmp_path, *callbacks, model=model).state_dict())
    assert steps(tmp_path, "latent_traversal") == [2, 4, 6]
    assert all(a.equal(b) for a, b in zip(*(w.values() for w in weights), strict=True))


def test_pictures_follow_no_settings_of_the_user_and_change_none() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        figure = Reconstructions(items=3).picture(vae(), Digits())
        assert mpl.rcParams["font.size"] == 30
    axes = figure.axes[0]
    assert axes.get_facecolor() == (1, 1, 1, 1)
    with house_style():
        size = mpl.rcParams["axes.titlesize"]
    assert axes.title.get_fontsize() == size


# --------------------------------------------------------------------- what goes wrong


def test_a_failing_picture_warns_once_and_stops_nothing(tmp_path) -> None:
    with pytest.warns(UserWarning, match="the picture noting is skipped: no ink") as caught:
        trained(tmp_path, Noting(every_n_epochs=1, fails=True), other := Codes(items=20))
    assert sum("noting" in str(w.message) for w in caught) == 1
    assert steps(tmp_path, other.name)


def test_what_is_not_finite_is_said_not_drawn() -> None:
    model = vae()
    with torch.no_grad():
        model.decoder.layers[-1].bias[3] = torch.nan
    with pytest.raises(UsageError, match="not finite"):
        Reconstructions().picture(model, Digits())


def test_a_picture_that_does_not_suit_is_refused_before_training(tmp_path) -> None:
    model = systems.LinearAutoEncoder((1, 8, 8), latent=3)
    with pytest.raises(UsageError, match="held to the prior"):
        trained(tmp_path, PriorSamples(), model=model)
    with pytest.raises(UsageError, match="there is no dimension 3: the code has 0 to 2"):
        trained(tmp_path, LatentTraversal(dims=[0, 3]), model=model)
    with pytest.raises(UsageError):
        trained(tmp_path, ScoreField(), model=model)
    with pytest.raises(UsageError, match="held to the prior"):
        trained(tmp_path, Report(names=["prior_samples"]), model=model)
    assert model.global_step == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Reconstructions(items=0), "items is 0"),
        (lambda: Reconstructions(every_n_epochs=-1), "every_n_epochs -1"),
        (lambda: LatentTraversal(start=500), "start is 500: expected an example from 0 to 499"),
        (lambda: Report(names=["codez"]), "there is no picture codez: did you mean codes"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()


# ------------------------------------------------------------------------- to loggers


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
    assert [e.step for e in events.Scalars("train/loss")] == [4]  # of 6, at every fifth
    assert [e.step for e in events.Scalars("val/loss")] == [2, 5]


# ---------------------------------------------------------------------- as they are made


@pytest.mark.parametrize("kind", known_pictures().values(), ids=known_pictures())
def test_every_picture_is_made_from_yaml_and_says_how_to_read_it(kind) -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=Callback)
    tree = {
        "class_path": f"ae_lightning.callbacks.{kind.__name__}",
        "init_args": {"every_n_epochs": 2, "items": 5, "seed": 3, "every_n_steps": 7},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = parser.instantiate_classes(parser.parse_object({"callback": tree})).callback
    assert type(made) is kind
    cadence = made.every_n_epochs, made.items, made.seed, made.every_n_steps
    assert cadence == (2, 5, 3, 7)
    assert 40 < len(kind.caption) < 500
    assert kind.caption.endswith(".")
