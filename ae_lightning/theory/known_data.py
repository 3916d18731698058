"""Data whose truth is known: Gaussians of known covariance, and images of known tangents."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from ae_lightning.core.randomness import generator_of
from ae_lightning.datamodules import MNIST, Examples, InMemory, PairDataModule
from ae_lightning.theory.proof import Skip

SIDE, RADIUS, MARGIN = 16, 2.0, 4.0  # pixels: of images with a blob


@final
class GaussianData(PairDataModule):  # type: ignore[misc]
    """Vectors x ~ N(μ, Q diag(v) Qᵀ), with Q a random rotation.

    Args:
        variances: v, the eigenvalues of the covariance.
        offset: the absolute value of every element of μ.
        n: the number of training examples.
        common: the arguments of `PairDataModule`: batch_size, corruption, seed, split_seed.
    """

    def __init__(
        self, variances: Sequence[float], offset: float = 0.0, n: int = 8192, **common: Any
    ) -> None:
        super().__init__(**common)
        self.variances, self.offset, self.n = tuple(variances), offset, n

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.variances),)

    @property
    def value_range(self) -> None:
        return None

    def read(self) -> Mapping[str, Examples]:
        D = len(self.variances)
        generator = generator_of(self.seed, D)

        def randn(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64)

        Q = torch.linalg.qr(randn(D, D)).Q
        spread = torch.tensor(self.variances, dtype=torch.float64).sqrt()
        signs = randn(D).sign()

        def examples(n: int) -> InMemory:
            x = randn(n, D) * spread @ Q.T + self.offset * signs
            return InMemory(x.to(torch.get_default_dtype()), torch.zeros(n, dtype=torch.long))

        return {"train": examples(self.n), "val": examples(1000), "test": examples(1000)}

    @property
    def x(self) -> Tensor:
        """The training examples (n, D), in float64."""
        return self.pairs("train", range(self.n)).x.double()  # type: ignore[no-any-return]


@final
class Blobs(PairDataModule):  # type: ignore[misc]
    """A round blob anywhere on an image of 16 × 16 pixels: a manifold of two dimensions.

    Args:
        n: the number of training images.
        common: the arguments of `PairDataModule`: batch_size, corruption, seed, split_seed.
    """

    def __init__(self, n: int = 8192, **common: Any) -> None:
        super().__init__(**common)
        self.n = n

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    def image(self, centre: Tensor) -> Tensor:
        """Return the images (B, 1, 16, 16) of blobs at these centres (B, 2), in pixels."""
        places = torch.arange(SIDE).to(centre)
        across, down = (-((places - c[:, None]) ** 2) / (2 * RADIUS**2) for c in centre.unbind(1))
        return (across[:, None] + down[:, :, None]).exp()[:, None]

    def centres(self, split: str) -> Tensor:
        """Return the centres of a split's blobs (N, 2), in pixels."""
        n, part = {"train": (self.n, 0), "val": (1000, 1), "test": (1000, 2)}[split]
        u = torch.rand(n, 2, generator=generator_of(self.split_seed, part))
        return MARGIN + u * (SIDE - 1 - 2 * MARGIN)

    def tangents(self, split: str) -> Tensor:
        """Return the derivatives of a split's images by their centres: (N, 2, 1, 16, 16)."""
        centres = self.centres(split)
        directions = torch.eye(2).to(centres)
        each = [
            torch.func.jvp(self.image, (centres,), (e.expand_as(centres),))[1] for e in directions
        ]
        return torch.stack(each, dim=1)

    def read(self) -> Mapping[str, Examples]:
        def examples(split: str) -> InMemory:
            x = self.image(self.centres(split))
            return InMemory(x, torch.zeros(len(x), dtype=torch.long))

        return {split: examples(split) for split in ("train", "val", "test")}


def mnist(**options: Any) -> MNIST:
    """Return MNIST from the folder that the environment variable AE_DATA names.

    Raises:
        Skip: if it names none.
    """
    if "AE_DATA" not in os.environ:
        raise Skip("AE_DATA names no folder of real images.")
    return MNIST(root=os.environ["AE_DATA"], download=False, **options)
