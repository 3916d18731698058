r"""Densities of codes that are fitted after training, ex post, to the codes of the training data.

A code is z = μ + A y + r: A y its part along the `LEADING` principal axes of the codes at most, so
that y has the covariance I, and r what is left, drawn as a Gaussian of the covariance that it has.
A density is one of y. Draws stay in the box of the codes seen: a rectified code is not below 0.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.extras import require_packages
from ae_lightning.core.printing import tracked
from ae_lightning.core.randomness import seeded
from ae_lightning.core.types import Pair
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.nn import MLP
from ae_lightning.posteriors import DiagonalGaussian
from ae_lightning.regularizers import Rate

LEADING: Final = 32  # principal axes
SMALLEST: Final = 1e-6  # of the variances along them that count, by the largest
COMPONENTS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
WIDTHS: Final = (256, 256)
STEPS, BATCH, RATE = 2000, 256, 2e-3  # of the training of a flow, or of the second stage


class Density(nn.Module, ABC):
    """A density of codes (K,), fitted to codes and drawn from.

    Args:
        latent: K.
    """

    kind: ClassVar[str]

    mean: Tensor  # μ (K,)
    axes: Tensor  # (K, K), of which the first D columns are A
    low: Tensor  # (K,), the smallest value that each element had
    high: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.D = min(latent, LEADING)
        for name, shape in {"mean": 1, "low": 1, "high": 1, "axes": 2}.items():
            self.register_buffer(name, torch.zeros([latent] * shape))

    @classmethod
    @abstractmethod
    def sketch(cls, latent: int, found: Mapping[str, Tensor]) -> Self:
        """Return an unfitted one, of the size that arrays in a file have."""

    @classmethod
    @torch.no_grad()
    def fitted(cls, z: Tensor, seed: int = 0) -> Self:
        """Fit one to codes z (N, K); torch's random state is unchanged.

        Raises:
            UsageError: if there are fewer than two.
        """
        at_least("the number of codes", len(z), 2)
        with seeded(seed, z.device):
            density = cls(z.shape[1]).to(z.device)
            density.fit_whitened(density.whiten(z))
        return density.eval().requires_grad_(False)

    def whiten(self, z: Tensor) -> Tensor:
        """Find the mean and the axes of codes z (N, K), and return y (N, D)."""
        self.mean = z.mean(0)
        self.low, self.high = z.aminmax(dim=0)
        covariance = (z - self.mean).double().T.cov().view(z.shape[1], -1)
        variances, rotation = (found.flip(-1) for found in torch.linalg.eigh(covariance))
        seen = variances > SMALLEST * variances[0].clamp(min=1e-12)
        self.axes = (rotation * variances.clamp(min=0).sqrt() * seen).to(z)
        inverse = rotation * torch.where(seen, variances.clamp(min=1e-30).rsqrt(), 0)
        y: Tensor = (z - self.mean) @ inverse[:, : self.D].to(z)
        return y

    @torch.no_grad()
    def draw(self, n: int, seed: int = 0) -> Tensor:
        """Draw n codes (n, K); torch's random state is unchanged.

        Raises:
            UsageError: if they are not finite: it is not fitted, or comes from a file of others.
        """
        with seeded(seed, self.mean.device):
            y = self.draw_whitened(n)  # (n, D)
            rest = torch.randn(n, len(self.mean) - self.D, device=y.device)
        z = self.mean + torch.cat([y, rest], 1) @ self.axes.T
        if not z.isfinite().all():
            raise UsageError(f"the {self.kind} density draws codes that are not finite.")
        return z.clamp(self.low, self.high)

    @abstractmethod
    def fit_whitened(self, y: Tensor) -> None:
        """Fit to y (N, D), of mean 0 and covariance I."""

    @abstractmethod
    def draw_whitened(self, n: int) -> Tensor:
        """Draw y (n, D)."""


class Mixture(Density):
    r"""Σ_c π_c N(y; μ_c, L_c L_cᵀ), by expectation maximisation.

    The number of components is the power of two with the least Bayesian information criterion.

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)
        | Estimating the Dimension of a Model (Schwarz, 1978)
    """

    kind = "mixture"

    def __init__(self, latent: int, components: int = 1) -> None:
        super().__init__(latent)
        self.register_buffer("logits", torch.zeros(components))  # log π
        self.register_buffer("means", torch.zeros(components, self.D))
        self.register_buffer("factors", torch.zeros(components, self.D, self.D))  # L

    @classmethod
    def sketch(cls, latent: int, found: Mapping[str, Tensor]) -> Self:
        logits = found.get("logits", torch.zeros(1))
        return cls(latent, logits.numel())

    def fit_whitened(self, y: Tensor) -> None:
        import numpy as np

        best = lowest_bic(y.double().cpu().numpy())
        self.logits = torch.as_tensor(np.log(best.weights_)).to(y)
        self.means = torch.as_tensor(best.means_).to(y)
        self.factors = torch.linalg.cholesky(torch.as_tensor(best.covariances_)).to(y)

    def draw_whitened(self, n: int) -> Tensor:
        c = torch.multinomial(self.logits.softmax(0), n, replacement=True)
        epsilon = torch.randn(n, self.D, 1, device=self.means.device)
        y: Tensor = self.means[c] + (self.factors[c] @ epsilon).squeeze(2)
        return y


def lowest_bic(y: Any) -> Any:
    """Fit mixtures of more and more Gaussians to y (N, D), until their criterion rises."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    best, least = None, float("inf")
    for components in COMPONENTS:
        if 2 * components > len(y):
            break
        with warnings.catch_warnings():  # of clusters that are fewer: the criterion finds as much
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = GaussianMixture(components, reg_covar=1e-4, random_state=0).fit(y)
        if (bic := fitted.bic(y)) > least:
            break
        best, least = fitted, bic
    return best


class Flow(Density):
    """A neural spline flow: an invertible network from y to N(0, I), by maximum likelihood.

    Raises:
        UsageError: if zuko is not installed.

    References:
        | Neural Spline Flows (Durkan et al., 2019)
    """

    kind = "flow"

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        require_packages("a flow", "flow", ["zuko"], ", or take a mixture")
        from zuko.flows import NSF

        self.flow = NSF(self.D, transforms=3, hidden_features=(64, 64))

    @classmethod
    def sketch(cls, latent: int, found: Mapping[str, Tensor]) -> Self:
        return cls(latent)

    def fit_whitened(self, y: Tensor) -> None:
        minimise(self.flow, lambda y: -self.flow().log_prob(y).mean(), y, "Fitting a flow")

    def draw_whitened(self, n: int) -> Tensor:
        y: Tensor = self.flow().sample((n,))
        return y


class TwoStage(Density):
    """A second variational autoencoder, of the codes of the first.

    References:
        | Diagnosing and Enhancing VAE Models (Dai and Wipf, 2019)
    """

    kind = "two_stage"

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.second = Model(
            (self.D,),
            self.D,
            MLP(WIDTHS, "SiLU"),
            DiagonalGaussian(),
            MLP(WIDTHS, "SiLU"),
            Gaussian(learned=True),
            regularizers={"rate": Rate()},
            value_range=None,
        )

    @classmethod
    def sketch(cls, latent: int, found: Mapping[str, Tensor]) -> Self:
        return cls(latent)

    def fit_whitened(self, y: Tensor) -> None:
        def loss(y: Tensor) -> Tensor:
            places = torch.arange(len(y), device=y.device)
            return self.second.objective(self.second.propagate(Pair(y, y, places, places)))["loss"]

        minimise(self.second, loss, y, "Fitting the second stage")

    def draw_whitened(self, n: int) -> Tensor:
        y: Tensor = self.second.decode(self.second.sample_codes(n)).sample()
        return y


KINDS: Final[dict[str, type[Density]]] = {d.kind: d for d in (Mixture, Flow, TwoStage)}


@torch.enable_grad()
def minimise(module: nn.Module, loss: Callable[[Tensor], Tensor], y: Tensor, title: str) -> None:
    """Minimise a loss over batches of y (N, D) by Adam, whose rate falls along one cosine."""
    optimizer = torch.optim.Adam(module.train().parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in tracked(range(STEPS), title, STEPS):
        optimizer.zero_grad()
        loss(y[torch.randint(len(y), (BATCH,), device=y.device)]).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimizer.step()
        schedule.step()
