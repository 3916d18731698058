"""A trained model, ready to use on values as they come: bytes or floats, one example or many."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.files import path_of, sha256_of
from ae_lightning.core.parts import Record
from ae_lightning.core.randomness import require_seed, seeded
from ae_lightning.core.showing import shown
from ae_lightning.core.trust import trust as trust_package
from ae_lightning.inference.arrays import Array, batched, given_back, tensor_of
from ae_lightning.inference.configurations import Flat, configuration_of
from ae_lightning.inference.weight_folders import (
    WEIGHTS,
    is_weight_folder,
    read_weight_folder,
)
from ae_lightning.model import Model
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_reading import (
    data_record,
    fingerprint_of,
    read_checkpoint,
    rebuild_model,
    validation,
)
from ae_lightning.training.checkpoint_schema import MODEL, PARTS, RUN_CONFIG

AT_ONCE: Final = 256  # codes to decode at a time


@shown
class TrainedModel:
    """A model in evaluation mode on a device, and what is known of its training.

    Its methods take x as NumPy arrays, tensors or lists: of bytes, or of floats on the scale of
    training; one example of shape S, or several (B, *S); images also with their channels last, or
    without the only one. They return float arrays, without the batch's dimension for one example.

    Args:
        model: the module, for all that is done with tensors.
        file: where it was read.
        data: the record of the data that it was trained on, if it has one.
        figures: of the validation that it was chosen by, by their names.
        step: how many optimizer steps it was trained for.
        classes: the labels' names, in order, if the data name them.
        config: of the run that trained it, if it has one.
        asked: all that its training was asked for but its seeds, by dotted names; and its seed.

    `reading` holds how image files are to be read for it, where that is not as in training.
    """

    def __init__(
        self,
        model: Model,
        file: Path,
        data: Record | None,
        figures: dict[str, float],
        step: int,
        classes: Sequence[str] = (),
        config: Record | None = None,
        asked: tuple[Flat, int] = ({}, 0),
    ) -> None:
        self.model, self.file, self.data = model, file, data
        self.figures, self.step = figures, step
        self.classes, self.config = list(classes), config
        self.asked = asked
        self.reading: dict[str, Any] = {}

    def facts(self) -> dict[str, object]:
        """What its `repr` tells, by name."""
        known = {"file": str(self.file), "step": self.step, "classes": self.classes}
        return {**known, "device": str(self.device), **self.model.facts(), **self.figures}

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape S of an example."""
        return self.model.shape

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.model.device

    @property
    def run(self) -> Path:
        """The folder of its run, or the one that its file lies in."""
        return run_directory.folder_of(self.file)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its file, taken once."""
        return sha256_of(self.file)

    @torch.no_grad()
    def code(self, x: Any) -> Array:
        """Return the codes f(x), the means of q(z|x): (B, K), or (K,) of one example."""
        x, one = self.prepare(x)
        return given_back(self.model.code(x), one)

    @torch.no_grad()
    def spread(self, x: Any) -> Array:
        """Return the standard deviations of q(z|x), which are 0 for a point: (B, K), or (K,)."""
        x, one = self.prepare(x)
        return given_back(self.model.encode(x).stddev, one)

    @torch.no_grad()
    def reconstruct(self, x: Any, steps: int = 1) -> Array:
        """Return r(x), or r(r(… x)) of several steps: (B, *S), or S."""
        x, one = self.prepare(x)
        return given_back(repeated(self.model, x, steps), one)

    denoise = reconstruct

    @torch.no_grad()
    def decode(self, z: Any) -> Array:
        """Return the means of p(x|z) of codes (B, K), or of one (K,).

        Raises:
            UsageError: if they are no finite codes of this model's size.
        """
        code = tensor_of(z, "z").to(self.device, torch.float32)
        if code.ndim not in (1, 2) or code.shape[-1] != self.model.latent:
            raise UsageError(
                f"a code is of shape {tuple(code.shape)}: expected ({self.model.latent},), or "
                f"(B, {self.model.latent})."
            )
        if not code.isfinite().all():
            raise UsageError("a code holds values that are not finite.")
        one = code.ndim == 1
        return given_back(self.model.decode(code[None] if one else code).mean, one)

    def sample(self, n: int = 1, seed: int = 0) -> Array:
        """Return n samples (n, *S), those of the command `sample` with this seed.

        They are of the prior, if the model holds its codes to it, or else of the density of codes
        that the command, or the function `sample`, has fitted and kept beside the checkpoint.

        Raises:
            UsageError: if n is below 1, seed below 0, or there is no such density yet.
        """
        at_least("n", n, 1)
        require_seed(seed)
        if self.model.held_to_prior:
            return given_back(self.drawn(self.prior_codes(n, seed)), one=False)
        from ae_lightning.inference.density_files import kept_density  # imports Lightning

        if (density := kept_density(self, "mixture")) is None:
            raise UsageError(
                f"nothing held the codes of {self.file} to a prior, so that draws of it are no "
                "codes: ae_lightning.inference.sample, or the command sample, fits and keeps a "
                "density of them."
            )
        return given_back(self.drawn(density.draw(n, seed)), one=False)

    def prior_codes(self, n: int, seed: int) -> Tensor:
        """Draw n codes (n, K) from the prior, a function of the seed."""
        with seeded(seed, self.device):
            return self.model.sample_codes(n)

    @torch.no_grad()
    def drawn(self, z: Tensor, batch_size: int = AT_ONCE) -> Tensor:
        """Return the means of p(x|z) (n, *S) of codes (n, K), clamped to the data's range."""
        x = torch.cat([self.model.decode(part).mean for part in z.split(batch_size)])
        return x if self.model.value_range is None else x.clamp(*self.model.value_range)

    def prepare(self, x: Any) -> tuple[Tensor, bool]:
        """Return values as the model takes them (B, *S), and whether they were one example.

        Raises:
            UsageError: if they are of another shape or type, or out of the range of training.
        """
        x, one = batched(tensor_of(x, "x"), self.shape)
        if x.dtype == torch.uint8:
            return x.to(self.device) / 255, one
        if not x.dtype.is_floating_point:
            kind = str(x.dtype).removeprefix("torch.")
            raise UsageError(f"x holds {kind}: expected uint8 in 0 … 255, or floats.")
        low, high = self.model.value_range or (-torch.inf, torch.inf)
        found = [float(v) for v in x.aminmax()] if x.numel() else []
        if not all(np.isfinite(found)):
            raise UsageError("x holds values that are not finite.")
        if found and not low <= found[0] <= found[1] <= high:
            raise UsageError(
                f"x holds values from {found[0]:.3g} to {found[1]:.3g}: the model takes floats in "
                f"[{low:g}, {high:g}], or bytes."
            )
        return x.to(self.device, torch.float32), one


def load(
    path: str | Path, device: str | torch.device = "cpu", trust: Iterable[str] = ()
) -> TrainedModel:
    """Load a trained model; nothing is unpickled, and Lightning is not needed.

    Args:
        path: a run, for its best checkpoint; a checkpoint; or a folder of weights, exported or
            pulled.
        device: where it computes.
        trust: the packages of a user's own that the checkpoint may name, which are imported then.

    Raises:
        UsageError: if there is none, it is damaged, or names what is not trusted; or if there is no
            such device.

    >>> from ae_lightning import load
    >>> load("runs/vae-mnist-1").code(images).shape  # doctest: +SKIP
    (64, 16)
    """
    for package in trust:
        trust_package(package)
    file, saved = read_saved(path_of(path, "model"))
    model = rebuilt(saved, file).to(device_named(device)).eval().requires_grad_(False)
    data, config = data_record(saved, file), saved.get(RUN_CONFIG)
    step, classes = int(saved["global_step"]), saved["classes"]
    known = step, classes, config, configuration_of(saved)
    return TrainedModel(model, file, data, dict(saved["figures"]), *known)


def read_saved(path: Path) -> tuple[Path, dict[str, Any]]:
    """Read a run's best checkpoint, a checkpoint, or a folder of weights, and say from which file.

    Raises:
        UsageError: if it is none of these, or is damaged.
    """
    if is_weight_folder(path):
        return path / WEIGHTS, read_weight_folder(path)
    file = run_directory.checkpoint_of(path)
    checkpoint = read_checkpoint(file)
    data, figures = fingerprint_of(checkpoint), validation(checkpoint)
    return file, checkpoint | {"figures": figures, "classes": data["classes"] if data else []}


def rebuilt(checkpoint: dict[str, Any], file: Path) -> Model:
    """The model of a checkpoint: of its parts alone, or of a class that a user has written."""
    from ae_lightning.schedules import Clock

    key = PARTS if PARTS in checkpoint else MODEL
    model: Model = rebuild_model(checkpoint, Model, {}, file, key)
    model.load_state_dict(checkpoint["state_dict"])
    model.clock = Clock(*checkpoint["clock"])
    return model


def require_images(trained: TrainedModel) -> None:
    """Raise UsageError if a model is for no images, which alone can be written as such."""
    if len(trained.shape) != 3:
        raise UsageError(
            f"{trained.file} holds a model for data of shape {trained.shape}, and not for images: "
            "name a .npy file by --out."
        )


def device_named(device: str | torch.device) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one.

    Raises:
        UsageError: if there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).cpu()  # which meta has none of
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UsageError(
            f"device is {device}: expected auto, cpu, or a device of this machine, such as cuda:0."
        ) from None
    return found


def repeated(model: Model, x: Tensor, steps: int) -> Tensor:
    """Reconstruct repeatedly: r(x), r(r(x)), …"""
    if steps < 1:
        raise UsageError(f"steps is {steps}: expected at least 1.")
    for _ in range(steps):
        x = model.reconstruct(x)
    return x
