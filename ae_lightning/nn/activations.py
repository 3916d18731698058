"""Code activations: from the encoder's features to the code."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ae_lightning.core.distributed import gather
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Part


class Activation(Part, ABC):
    """A map from the encoder's features to the code, and the properties that it guarantees.

    A subclass says by `elementwise = True`, each for itself, that every code depends on its own
    feature alone: Jacobians of the code then cost less.
    """

    elementwise: ClassVar[bool] = False
    normalised: ClassVar[bool] = False  # the code's scale cannot shrink

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.elementwise = cls.__dict__.get("elementwise", False)  # a subclass may mix features

    def build(self, latent: int) -> None:
        """Prepare for codes of size `latent`."""

    @abstractmethod
    def forward(self, u: Tensor) -> Tensor:
        """Map features (B, K) to the code (B, K)."""


class Sigmoid(Activation):
    """Codes in (0, 1), as a target activation or a saturating contraction requires."""

    elementwise = True

    def forward(self, u: Tensor) -> Tensor:
        return u.sigmoid()


class Rectifier(Activation):
    """Codes max(u, 0), exactly zero when inactive."""

    elementwise = True

    def forward(self, u: Tensor) -> Tensor:
        return u.relu()


class TopK(Activation):
    """Keep the k largest features of each example and set the others to zero.

    References:
        | k-Sparse Autoencoders (Makhzani and Frey, 2013)
    """

    elementwise = True

    def __init__(self, k: int = 25) -> None:
        super().__init__()
        self.k = k

    def build(self, latent: int) -> None:
        if not 1 <= self.k <= latent:
            raise UsageError(f"TopK k is {self.k}: expected 1 to {latent}, the latent size.")

    def forward(self, u: Tensor) -> Tensor:
        values, places = u.topk(self.k, dim=1)
        return torch.zeros_like(u).scatter(1, places, values)


class UnitNorm(Activation):
    """Codes on the unit sphere."""

    normalised = True

    def forward(self, u: Tensor) -> Tensor:
        return F.normalize(u, dim=1)


class UnitVariance(Activation):
    """Codes of zero mean and unit variance over the batch or, in evaluation, over the data.

    The data's statistics are the mean of those of the first 20 batches, and from then on a moving
    average of them, with momentum 0.05.

    A Jacobian treats the statistics of the latest batch as constant in x (see
    `geometry.fixed_statistics`), but differentiates them in the weights, so that a penalty cannot
    be lowered by shrinking the features.

    Raises:
        UsageError: if it is trained on batches of one example.
    """

    elementwise = True
    normalised = True
    momentum, eps = 0.05, 1e-6
    mean: Tensor  # over the data (K,)
    variance: Tensor  # (K,)
    batches: Tensor  # how many have been seen: ()

    def build(self, latent: int) -> None:
        self.fixed = False
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("variance", torch.ones(latent))
        self.register_buffer("batches", torch.tensor(0.0))
        self.batch: tuple[Tensor, Tensor] | None = None

    def forward(self, u: Tensor) -> Tensor:
        if self.training and self.fixed and self.batch is not None:
            mean, variance = self.batch
        elif self.training and not self.fixed:
            batch = gather(u)
            if len(batch) < 2:
                raise UsageError(
                    "a UnitVariance code trains on the variance over a batch, and this one has one "
                    "example: set data.batch_size to 2 or more."
                )
            mean, variance = self.batch = batch.mean(0), batch.var(0, unbiased=False)
            with torch.no_grad():
                self.batches += 1
                share = (1 / self.batches).clamp(min=self.momentum).to(mean.dtype)
                self.mean.lerp_(mean, share)
                self.variance.lerp_(variance, share)
        else:
            mean, variance = self.mean, self.variance
        return (u - mean) / (variance + self.eps).sqrt()

    def __getstate__(self) -> dict[str, Any]:
        # The statistics of the latest batch carry a graph, which cannot be copied.
        return {**self.__dict__, "batch": None}
