"""Walkback training of a denoising autoencoder."""

import torch
from torch import Tensor

from ae_lightning.core.errors import above, at_least
from ae_lightning.core.types import ForwardPass
from ae_lightning.geometry import fixed_statistics
from ae_lightning.model import Model
from ae_lightning.regularizers.base import Regularizer, noise_of
from ae_lightning.schedules import Schedule


class Walkback(Regularizer):
    r"""Penalise −log p(x|x̃_t) along the model's own chain, which walks away from x.

    .. math:: \Omega = \frac1T \sum_t -\log p(x|\tilde x_t), \qquad
        \tilde x_t \sim N(x_t, \sigma^2 I), \quad x_{t+1} \sim p(x|\tilde x_t), \quad x_1 = x

    The chain of a denoising autoencoder can walk to modes that no datum is near; this seeks them
    out, and teaches the model the way back. It samples the same density as ordinary denoising.

    Args:
        weight: w in w·Ω.
        sigma: σ of the Gaussian corruption, that of the data.
        steps: T, the length of the walk; 1 is ordinary denoising.

    Raises:
        UsageError: if σ is not positive, or there is no step.

    References:
        | Generalized Denoising Auto-Encoders as Generative Models (Bengio et al., 2013), section 4

    >>> from ae_lightning.systems import DenoisingAutoEncoder
    >>> DenoisingAutoEncoder((1, 8, 8), regularizers={"walk": Walkback(0.5)}).weights()
    {'walk': 0.5}
    """

    def __init__(self, weight: float | Schedule = 1.0, sigma: float = 0.3, steps: int = 3) -> None:
        super().__init__(weight)
        self.sigma, self.steps = above("sigma", sigma), at_least("steps", steps, 1)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        # In evaluation each example walks alone, by the same noise: the same in any batch.
        rows = (out.x,) if model.training else out.x.split(1)
        return torch.cat([self._walk(model, x) for x in rows])

    def _walk(self, model: Model, x: Tensor) -> Tensor:
        x_t, penalties = x, []
        # A walk leaves the data: its codes are no part of a UnitVariance's statistics.
        with noise_of(model), fixed_statistics(model):
            for _ in range(int(self.steps)):
                p = model.decode(model.code(x_t + self.sigma * torch.randn_like(x_t)))
                penalties.append(-p.log_prob(x))
                x_t = p.sample()
        return torch.stack(penalties).mean(0)
