"""A tour of the field: each autoencoder of the notes is a choice of parts, and nothing else.

Every system takes, beside what it names, the arguments of `AutoEncoder`: `prior`, `samples`,
`optimizer`, `lr_schedule`, `value_range` and `seed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import ForwardPass
from ae_lightning.likelihoods import Bernoulli, Gaussian, Likelihood
from ae_lightning.nn import MLP, Activation, Network, Rectifier, Sigmoid, TiedMLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.regularizers.contractive import Contractive
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.regularizers.sparsity import L1

Regularizers = dict[str, Regularizer] | None


def _unit_interval(others: dict[str, Any]) -> bool:
    return tuple(others.get("value_range", (0.0, 1.0)) or ()) == (0.0, 1.0)


@final
class LinearAutoEncoder(AutoEncoder):
    r"""Two affine maps under squared error: the decoder spans the principal subspace of the data.

    .. math:: \min_{W_1, W_2} E \lVert x - \mu - W_2 W_1 (x - \mu) \rVert^2

    The subspace is that of PCA; the basis within it is not determined.

    References:
        | Neural Networks and Principal Component Analysis (Baldi and Hornik, 1989)
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 32,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=MLP(widths=()),
            posterior=Dirac(),
            decoder=MLP(widths=()),
            likelihood=Gaussian(),
            regularizers=regularizers,
            **others,
        )

    def principal_subspace(self) -> Tensor:
        """Return an orthonormal basis (D, K) of what the decoder spans."""
        W = self.decoder.atoms().detach()  # (D, K)
        U: Tensor = torch.linalg.svd(W, full_matrices=False).U
        return U


@final
class UndercompleteAutoEncoder(AutoEncoder):
    """A nonlinear bottleneck: a code smaller than the data, and no other constraint.

    References:
        | Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, 2006)
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 32,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(),
            posterior=Dirac(),
            decoder=decoder or MLP(widths=(256, 512)),
            likelihood=likelihood or Gaussian(),
            regularizers=regularizers,
            **others,
        )


@final
class SparseAutoEncoder(AutoEncoder):
    """An overcomplete code, few of whose units are active at a time: a Laplace prior's MAP code.

    The decoder's columns keep unit norm, since the code could else shrink at no cost.

    Args:
        activation: makes the code; TopK needs no penalty, SparsityKL needs Sigmoid.

    References:
        | Emergence of Simple-Cell Receptive Field Properties (Olshausen and Field, 1996)
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 512,
        encoder: Network | None = None,
        decoder: Network | None = None,
        activation: Activation | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(widths=()),
            posterior=Dirac(activation or Rectifier()),
            decoder=decoder or MLP(widths=(), unit_columns=True),
            likelihood=likelihood or Gaussian(),
            regularizers={"l1": L1(weight=0.3)} if regularizers is None else regularizers,
            **others,
        )


@final
class ContractiveAutoEncoder(AutoEncoder):
    r"""A code that resists small changes of the input, but for those along the data.

    One sigmoid layer with tied weights: untied, the penalty would shrink for free, f/c and g(c·)
    giving the same reconstruction. By default under cross-entropy, as there, where values lie in
    [0, 1], and under squared error elsewhere.

    References:
        | Contractive Auto-Encoders (Rifai et al., 2011)
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 512,
        encoder: Network | None = None,
        decoder: Network | None = None,
        activation: Activation | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(widths=()),
            posterior=Dirac(activation or Sigmoid()),
            decoder=decoder or TiedMLP(),
            likelihood=likelihood or (Bernoulli() if _unit_interval(others) else Gaussian()),
            regularizers={"contractive": Contractive(weight=0.5), **(regularizers or {})},
            **others,
        )


@final
class DenoisingAutoEncoder(AutoEncoder):
    r"""Reconstruct the clean input from a corrupted one: r(x̃) − x̃ points back to the data.

    Under Gaussian corruption and squared error, (r(x̃) − x̃)/σ² estimates ∇ log p_σ.

    Raises:
        UsageError: at the first step, where the pairs are all clean.

    References:
        | Extracting and Composing Robust Features (Vincent et al., 2008)
        | A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011)
    """

    needs_corruption = True

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 256,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(widths=(512,)),
            posterior=Dirac(),
            decoder=decoder or MLP(widths=(512,)),
            likelihood=likelihood or Gaussian(),
            regularizers=regularizers,
            **others,
        )


@final
class StochasticAutoEncoder(AutoEncoder):
    r"""Distributions on both sides: q(z|x) with a learned spread, p(x|z) with a learned σ.

    Nothing in −E log p(x|z) rewards the spread of q, which narrows as training goes on; a Rate,
    MMD or TotalCorrelation keeps it open.
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 16,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(),
            posterior=DiagonalGaussian(),
            decoder=decoder or MLP(widths=(256, 512)),
            likelihood=likelihood or Gaussian(sigma=0.3, learned=True),
            regularizers=regularizers,
            **others,
        )


@final
class VariationalAutoEncoder(AutoEncoder):
    r"""Hold q(z|x) to the prior: the loss is the negative evidence lower bound, D + R.

    The likelihood is Gaussian with one learned σ, which balances the two on data of any range.
    Take Bernoulli for binary data; on grey values it is the field's custom, and no density.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)
        | Stochastic Backpropagation (Rezende et al., 2014)
        | Simple and Effective VAE Training with Calibrated Decoders (Rybkin et al., 2021)
    """

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 16,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(),
            posterior=DiagonalGaussian(),
            decoder=decoder or MLP(widths=(256, 512)),
            likelihood=likelihood or Gaussian(sigma=0.3, learned=True),
            regularizers={"rate": Rate(), **(regularizers or {})},
            **others,
        )


@final
class ImportanceWeightedAutoEncoder(AutoEncoder):
    r"""Tighten the bound with R samples; it is no sum of distortion and penalties.

    .. math:: L_R = E \log \frac{1}{R} \sum_r \frac{p(x|z_r)\, p(z_r)}{q(z_r|x)} \le \log p(x)

    `loss` is −L_R and the other penalties; distortion, rate and `elbo` are those at R = 1.

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
    """

    bound_terms: ClassVar[tuple[str, ...]] = ("bound", "distortion")
    bound_holds_prior = True

    def __init__(
        self,
        shape: Sequence[int],
        latent: int = 16,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        regularizers: Regularizers = None,
        samples: int = 5,
        **others: Any,
    ) -> None:
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or MLP(),
            posterior=DiagonalGaussian(),
            decoder=decoder or MLP(widths=(256, 512)),
            likelihood=likelihood or Gaussian(sigma=0.3, learned=True),
            regularizers=regularizers,
            samples=samples,
            **others,
        )
        if any(isinstance(r, Rate) for r in self.regularizers.values()):
            raise UsageError("the importance-weighted bound holds the rate already: drop Rate.")

    def objective(self, out: ForwardPass) -> dict[str, Tensor]:
        log_p = out.p.log_prob(out.x)  # (R, B)
        log_w = log_p + self.prior().log_prob(out.z) - out.q.log_prob(out.z)
        L = log_w.double().logsumexp(0).to(log_w) - math.log(len(log_w))
        terms = self.penalised({"bound": -L.mean()}, out)
        return {**terms, "distortion": -log_p.detach().mean()}
