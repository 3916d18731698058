"""The pictures of a checkpoint, as training draws them."""

import sys
from pathlib import Path
from typing import Literal

import yaml

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import Curves
from ae_lightning.callbacks.report.about import monitor
from ae_lightning.callbacks.report.choosing import judged, pictures_named
from ae_lightning.callbacks.report.history import read_history
from ae_lightning.callbacks.report.run_page import title_of, write_report
from ae_lightning.cli.resume import refuse_other_data
from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import path_of
from ae_lightning.core.printing import tell
from ae_lightning.core.untrusted import inside
from ae_lightning.inference.data import data_named
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_reading import read_checkpoint, recorded
from ae_lightning.training.checkpoint_schema import MODEL, RUN_CONFIG


def plot(
    checkpoint: Path,
    *names: str,
    data: str | None = None,
    out: Path | None = None,
    data_changed: Literal["refuse", "accept"] = "refuse",
) -> None:
    """Draw pictures of a checkpoint, and a page of them, index.html.

    A picture that fails is skipped, with a reason, unless it was named.

    Args:
        checkpoint: the checkpoint, or a run's directory, for its best one.
        names: the pictures to draw; by default, all that suit the model. Arguments follow a name,
            as in latent_traversal:animated=true:start=null codes:by=umap.
        data: other data: a folder of images, which are prepared as those of training, an array
            file or a config, shipped or a file; by default, the data of training.
        out: where to write; by default, plots in the run's directory.
        data_changed: whether to take the data of training although they have changed since.

    Raises:
        UsageError: if there is no such checkpoint or picture, or they do not suit one another.
    """
    file = run_directory.checkpoint_of(path_of(checkpoint, "checkpoint"))
    state = read_checkpoint(file)
    pictures = pictures_named(names)  # before the data is read, which may take a while
    model = AutoEncoder.load_from_checkpoint(file)
    step = int(state.get("global_step", 0))
    trained = TrainedModel(model, file, recorded(state, file).get("data"), {}, step)
    source = data_named(trained, data)
    if tuple(source.shape) != model.shape:
        raise UsageError(
            f"{file} holds a model for data of shape {model.shape}, not {source.shape}."
        )
    if data is None:
        refuse_other_data(source, state, file, data_changed)
    run = run_directory.folder_of(file)
    history = read_history(run)
    out = inside(run, run_directory.PLOTS, run) if out is None else path_of(out, "out")
    for picture in pictures:
        picture.history = history
        if (reason := picture.suits(model, source)) is not None:
            raise UsageError(reason)
    every = [] if pictures else judged(model, source, history)
    missing = {picture.name: reason for picture, reason in every if reason is not None}
    drawn = pictures or [picture for picture, reason in every if reason is None]
    config = state.get(RUN_CONFIG) or {}
    for picture in drawn:
        if isinstance(picture, Curves):
            picture.monitor, picture.mode = monitor(config)
        try:
            stem = inside(out, f"{run_directory.PICTURES}/{picture.name}/{step}", out)
            stem.with_suffix(".gif").unlink(missing_ok=True)
            picture.picture(model, source, history, stem)
        except Exception as error:
            if pictures:
                raise
            why = str(error) or type(error).__name__
            tell(printable(f"the picture {picture.name} is skipped: {why}"), file=sys.stderr)
            missing[picture.name] = picture.missing or why
            continue
        for file_drawn in (stem.with_suffix(".png"), stem.with_suffix(".gif")):
            if file_drawn.exists():
                tell(file_drawn)
    record = {name: config[name] for name in ("seed_everything", "checkpoints") if name in config}
    record |= {"model": state[MODEL], "data": source.record}
    text = yaml.safe_dump(record, sort_keys=False)
    captions = {picture.name: picture.caption_for(model) for picture in drawn}
    tell(write_report(out, title_of(model, source), text, history, captions, missing))
