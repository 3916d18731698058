"""What the page of `explore` shows: pictures that follow from the model and a few numbers."""

from functools import cached_property
from math import floor, log10
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.callbacks.drawing.images import is_image, limits_of, scaled
from ae_lightning.callbacks.drawing.tangents import telling
from ae_lightning.callbacks.drawing.theme import COLOURS, LABEL_COLOURS
from ae_lightning.callbacks.interpolation import straight
from ae_lightning.callbacks.latent_traversal import importance
from ae_lightning.core.errors import UsageError
from ae_lightning.core.randomness import generator_of
from ae_lightning.datamodules import ImageFolder
from ae_lightning.inference.data import rendering
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.trained import TrainedModel

Picture = NDArray[np.uint8]  # (H, W, 3)

SHOWN: Final = 320  # pixels of an image's longer side, at least
MAP: Final = 480  # pixels of the map's side
MARGIN: Final = 0.04  # of the map, beside its outermost codes
DOT: Final = 3  # pixels


class Explorer:
    """The pictures of a page.

    Args:
        trained: the model.
        inputs: the examples, of which the map shows all; an image is chosen by its place.

    Raises:
        UsageError: if the model is not for images.
    """

    def __init__(self, trained: TrainedModel, inputs: Inputs) -> None:
        if not is_image(trained.shape) or trained.shape[0] not in (1, 3):
            raise UsageError(
                f"explore shows grey or coloured images, and {trained.file} holds a model for data "
                f"of shape {trained.shape}."
            )
        self.trained, self.model = trained, trained.model
        batches = list(inputs.batches(256, trained.device, "Reading"))
        self.names = [name for batch in batches for name in batch.names]
        self.labels = [label for batch in batches for label in batch.labels]
        self.x = torch.cat([batch.pair.x for batch in batches])
        with torch.no_grad():
            self.codes = torch.cat([self.model.code(x) for x in self.x.split(256)])
            score, self.unit = importance(self.model, self.x[:1000])
        self.order: list[int] = score.argsort(descending=True, stable=True).tolist()
        self.score = score.tolist()
        self.limits = limits_of(self.model, self.x)

    # ------------------------------------------------------------------ dimensions

    def range_of(self, k: int) -> tuple[float, float, int]:
        """The values of a dimension, a tenth beyond, and the decimals that tell them apart."""
        low, high = (float(v) for v in self.codes[:, k].aminmax())
        beyond = max(0.1 * (high - low), 1e-3)
        decimals = max(0, 1 - floor(log10(high - low + 2 * beyond)))
        return round(low - beyond, decimals), round(high + beyond, decimals), decimals + 1

    @torch.no_grad()
    def decoded(self, z: Tensor) -> Picture:
        """The mean of p(x|z) of one code (K,)."""
        return self.shown(self.model.decode(z[None]).mean[0])

    def code_of(self, x: Tensor) -> Tensor:
        """The code (K,) of one image."""
        with torch.no_grad():
            z: Tensor = self.model.code(x[None])[0]
        return z

    # --------------------------------------------------------------- one's own image

    def read(self, path: str) -> Tensor:
        """Read an image file as training would.

        Raises:
            UsageError: if it cannot be read.
        """
        options = rendering(self.trained) | {"resize": self.trained.shape[1:], "bits": 8}
        render = ImageFolder(str(Path(path).parent), **options).render
        x: Tensor = render(Path(path)).to(self.trained.device) / 255
        low, high = self.model.value_range or (0.0, 1.0)
        return low + (high - low) * x

    def tangents(self, x: Tensor, k: int) -> Tensor:
        """The leading directions (≤ k, *S) in which the model has learned that data vary here."""
        with torch.no_grad():
            found: Tensor = telling(self.model)(self.model, x[None], k)[0][0]
        return found

    def walked(self, x: Tensor, tangent: Tensor, steps: float) -> Picture:
        """An image moved along a tangent, of length 1, and what the model makes of it there."""
        moved = (x + steps * tangent).clamp(*self.limits)
        return self.beside(moved, self.reconstructed(moved))

    @torch.no_grad()
    def reconstructed(self, x: Tensor) -> Tensor:
        """r(x) of one image, within the data's range."""
        return self.model.reconstruct(x[None])[0].clamp(*self.limits)

    def noisy(self, x: Tensor, sigma: float, seed: int = 0) -> Picture:
        """An image with Gaussian noise, and without it again."""
        generator = generator_of(seed, 0, 0, 0, 0, device=x.device)
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        x_tilde = (x + sigma * noise).clamp(*self.limits)
        return self.beside(x_tilde, self.reconstructed(x_tilde))

    def between(self, a: Tensor, b: Tensor, t: float) -> Picture:
        """The decoding of the code that lies a share t of the way from one image's to another's."""
        at = torch.tensor([t], device=a.device)
        return self.decoded(straight(self.code_of(a)[None], self.code_of(b)[None], at)[0, 0])

    # ----------------------------------------------------------------------- the map

    @cached_property
    def placed(self) -> Tensor:
        """Where every code lies on the map (N, 2), in shares of its side, from the top left."""
        centred = self.codes - self.codes.mean(0)
        points = centred @ torch.pca_lowrank(centred, 2, niter=8)[2]
        low, high = points.min(0).values, points.max(0).values
        shares = (points - low) / (high - low).clamp(min=1e-6)
        return MARGIN + (1 - 2 * MARGIN) * torch.stack([shares[:, 0], 1 - shares[:, 1]], 1)

    def map(self) -> Picture:
        """All codes in the plane of their two principal directions, in the colours of classes."""
        canvas = np.full((MAP, MAP, 3), 255, np.uint8)
        for (x, y), label in zip((self.placed * MAP).int().tolist(), self.labels, strict=True):
            ink = self.colours.get(str(label), COLOURS[0])
            canvas[y - DOT + 1 : y + DOT, x - DOT + 1 : x + DOT] = hex_to_bytes(ink)
        return canvas

    @cached_property
    def colours(self) -> dict[str, str]:
        """The colour of each class as #rrggbb; none if there are no classes."""
        kinds = sorted({str(label) for label in self.labels if label is not None})
        return {k: LABEL_COLOURS[i % len(LABEL_COLOURS)] for i, k in enumerate(kinds)}

    def nearest(self, x: float, y: float) -> int:
        """The place of the example whose code lies nearest to a point of the map, in pixels."""
        at = torch.tensor([x, y], device=self.codes.device) / MAP
        return int((self.placed - at).norm(dim=1).argmin())

    # ------------------------------------------------------------------------ drawing

    def shown(self, x: Tensor) -> Picture:
        """An image (C, H, W) as colours, each pixel as large as a whole number of the screen's."""
        values = scaled(x, self.limits).clamp(0, 1).cpu()
        zoom = max(1, SHOWN // max(values.shape[1:]))
        large = values.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
        array: Any = (large * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()
        return np.ascontiguousarray(array)

    def beside(self, *images: Tensor) -> Picture:
        """Several images side by side."""
        shown = [self.shown(x) for x in images]
        gap = np.full((shown[0].shape[0], 8, 3), 255, np.uint8)
        each = [part for image in shown for part in (gap, image)][1:]
        return np.concatenate(each, axis=1)


def hex_to_bytes(colour: str) -> list[int]:
    """The values of a colour as #rrggbb.

    >>> hex_to_bytes("#0a0bff")
    [10, 11, 255]
    """
    return list(bytes.fromhex(colour.removeprefix("#")))
