"""Gaussian data of known covariance, as any user would add data of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ae_lightning.datamodules import PairDataModule
from ae_lightning.datamodules.loading import Arrays, Examples
from ae_lightning.randomness import generator_of


@final
class GaussianData(PairDataModule):
    """Vectors x ~ N(μ, Q diag(v) Qᵀ), with Q a random rotation.

    Args:
        variances: v, the eigenvalues of the covariance.
        offset: the size of every element of μ.
        n: how many training examples.
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
        draw = {"generator": generator_of(self.seed, D), "dtype": torch.float64}
        Q = torch.linalg.qr(torch.randn(D, D, **draw)).Q
        spread = torch.tensor(self.variances, dtype=torch.float64).sqrt()
        signs = torch.rand(D, **draw).round() * 2 - 1

        def examples(n: int) -> Arrays:
            x = torch.randn(n, D, **draw) * spread @ Q.T + self.offset * signs
            return Arrays(x.to(torch.get_default_dtype()), torch.zeros(n, dtype=torch.long))

        return {"train": examples(self.n), "val": examples(1000), "test": examples(1000)}

    @property
    def x(self) -> Tensor:
        """The training examples (n, D), in float64."""
        return self.pairs("train", range(self.n)).x.double()


def moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean (D,) of examples (n, D), and their covariance's eigenvalues (D,) in falling order
    and eigenvectors (D, D), in columns."""
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    return mean, values.flip(0), vectors.flip(1)


def principal_angle(A: Tensor, B: Tensor) -> float:
    """The largest principal angle between what the columns of A and B (D, K) span, in degrees."""
    Q, P = (torch.linalg.qr(M).Q for M in (A, B))
    # The sine, since a small angle's cosine says little of it.
    sine = torch.linalg.matrix_norm(Q - P @ (P.mT @ Q), 2)
    return math.degrees(math.asin(min(1.0, float(sine))))


def gaussian_nodes(n: int, D: int) -> tuple[Tensor, Tensor]:
    """Points ε (n^D, D) and weights with which Σ w f(ε) is E f(ε), ε ~ N(0, I)."""
    points, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(n))
    grid = torch.cartesian_prod(*[points] * D).view(-1, D)
    w = torch.cartesian_prod(*[weights / weights.sum()] * D).view(-1, D).prod(1)
    return grid, w
