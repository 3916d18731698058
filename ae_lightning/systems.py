"""A tour of the field: each autoencoder of the notes is a choice of parts, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, final

from torch.optim import Adam, Optimizer

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.likelihoods import Bernoulli, Likelihood
from ae_lightning.nn import MLP, Network
from ae_lightning.posteriors import DiagonalGaussian
from ae_lightning.priors import Prior
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.regularizers.posterior import Rate
from ae_lightning.regularizers.schedules import Schedule


@final
class VariationalAutoEncoder(AutoEncoder):
    """A DiagonalGaussian posterior held to the prior by the Rate.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 16,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        prior: Prior | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        samples: int = 1,
        optimizer: Callable[[Iterable[Any]], Optimizer] = partial(Adam, lr=1e-3, fused=True),
        lr_schedule: Schedule | None = None,
        value_range: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(),
            posterior=DiagonalGaussian(),
            decoder=decoder or MLP(widths=(256, 512)),
            likelihood=likelihood or Bernoulli(),
            prior=prior,
            regularizers={"rate": Rate(), **(regularizers or {})},
            samples=samples,
            optimizer=optimizer,
            lr_schedule=lr_schedule,
            value_range=value_range,
            seed=seed,
        )
