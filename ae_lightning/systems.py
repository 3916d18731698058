"""A tour of the field: each autoencoder of the notes is a choice of parts, and nothing else.

Every system takes, beside what it names, the arguments of `AutoEncoder`: `prior`, `samples`,
`optimizer`, `lr_schedule`, `value_range` and `seed`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Record
from ae_lightning.likelihoods import Bernoulli, Gaussian, Likelihood
from ae_lightning.nn import MLP, Activation, Network, Rectifier, Sigmoid, TiedMLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers import L1, Contractive, Rate, Regularizer
from ae_lightning.variants import Denoising, ImportanceWeighted

Choice = Mapping[str, Callable[[], Any]]  # what makes each part, by its name

GAUSSIAN: Choice = {  # on both sides, each with a spread that is learned
    "encoder": MLP,
    "posterior": DiagonalGaussian,
    "decoder": partial(MLP, widths=(256, 512)),
    "likelihood": partial(Gaussian, sigma=0.3, learned=True),
}


class System(AutoEncoder, ABC):
    """A choice of parts, any of which may be replaced.

    Args:
        shape: the data's shape S.
        latent: the code's size K; if None, the system's own, or 4 channels of a code that keeps
            its place.
        encoder, decoder, likelihood: the system's own if None.
        regularizers: penalties beside the system's own, or in place of one of the same name.
        activation: makes the code of the features, if the posterior is a point; the system's own
            if None.
        others: further arguments of `AutoEncoder`.

    Raises:
        UsageError: if an activation is given to a posterior that takes none.
    """

    parts: ClassVar[Choice]
    penalties: ClassVar[Choice] = {}
    replaces_penalties: ClassVar[bool] = False  # whether those that are given replace all of these

    @property
    @abstractmethod
    def size(self) -> int:
        """The code's size unless it is given: a plain number in each system."""

    def __init__(
        self,
        shape: Sequence[int],
        latent: int | None = None,
        encoder: Network | None = None,
        decoder: Network | None = None,
        likelihood: Likelihood | None = None,
        regularizers: dict[str, Regularizer] | None = None,
        activation: Activation | None = None,
        **others: Any,
    ) -> None:
        if latent is None:
            grid = encoder.grid(shape) if encoder else None
            latent = 4 * math.prod(grid) if grid else self.size
            self.arguments["latent"] = latent  # recorded as the number that it is
        posterior = self.parts["posterior"]()
        if activation is not None:
            if not isinstance(posterior, Dirac):
                name, own = type(activation).__name__, type(posterior).__name__
                raise UsageError(f"activation is {name}, and a {own} posterior takes none.")
            posterior = Dirac(activation)
        kept = not (self.replaces_penalties and regularizers is not None)
        penalties = {name: make() for name, make in self.penalties.items()} if kept else {}
        super().__init__(
            shape=shape,
            latent=latent,
            encoder=encoder or self.parts["encoder"](),
            posterior=posterior,
            decoder=decoder or self.parts["decoder"](),
            likelihood=likelihood or self.parts["likelihood"](),
            regularizers=penalties | (regularizers or {}),
            **others,
        )

    @classmethod
    def defaults(cls) -> Record:
        """What the arguments stand for if they are left out, as far as it depends on no other."""
        parts = {n: make().record for n, make in cls.parts.items() if n != "posterior"}
        penalties = {n: make().record for n, make in cls.penalties.items()}
        return super().defaults() | {"latent": cls.size} | parts | {"regularizers": penalties}


@final
class LinearAutoEncoder(AutoEncoder):
    r"""Two affine maps under squared error: the decoder spans the principal subspace of the data.

    .. math:: \min_{W_1, W_2} E \lVert x - \mu - W_2 W_1 (x - \mu) \rVert^2

    The subspace is that of PCA; the basis within it is not determined.

    References:
        | Neural Networks and Principal Component Analysis (Baldi and Hornik, 1989)
    """

    def __init__(self, shape: Sequence[int], latent: int = 32, **others: Any) -> None:
        super().__init__(shape, latent, MLP(()), Dirac(), MLP(()), Gaussian(), **others)

    def principal_subspace(self) -> Tensor:
        """Return an orthonormal basis (D, K) of what the decoder spans."""
        W = self.decoder.atoms().detach()  # (D, K)
        U: Tensor = torch.linalg.svd(W, full_matrices=False).U
        return U


@final
class UndercompleteAutoEncoder(System):
    """A nonlinear bottleneck: a code smaller than the data, and no other constraint.

    References:
        | Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, 2006)
    """

    size = 32
    parts: ClassVar[Choice] = {
        "encoder": MLP,
        "posterior": Dirac,
        "decoder": partial(MLP, widths=(256, 512)),
        "likelihood": Gaussian,
    }


@final
class SparseAutoEncoder(System):
    """An overcomplete code, few of whose units are active at a time: a Laplace prior's MAP code.

    The decoder's columns keep unit norm, since otherwise the code could shrink at no cost.

    Regularizers that are given replace the L1 penalty: with the activation TopK none is needed,
    and SparsityKL needs Sigmoid.

    References:
        | Emergence of Simple-Cell Receptive Field Properties (Olshausen and Field, 1996)
    """

    size = 512
    parts: ClassVar[Choice] = {
        "encoder": partial(MLP, widths=()),
        "posterior": lambda: Dirac(Rectifier()),
        "decoder": partial(MLP, widths=(), unit_columns=True),
        "likelihood": Gaussian,
    }
    penalties: ClassVar[Choice] = {"l1": partial(L1, weight=0.3)}
    replaces_penalties = True


@final
class ContractiveAutoEncoder(System):
    r"""A code that resists small changes of the input, but for those along the data.

    One sigmoid layer with tied weights: untied, the penalty would shrink for free, f/c and g(c·)
    giving the same reconstruction. The default is cross-entropy, as there, if values lie in [0, 1],
    and squared error otherwise.

    References:
        | Contractive Auto-Encoders (Rifai et al., 2011)
    """

    size = 512
    parts: ClassVar[Choice] = {
        "encoder": partial(MLP, widths=()),
        "posterior": lambda: Dirac(Sigmoid()),
        "decoder": TiedMLP,
    }
    penalties: ClassVar[Choice] = {"contractive": partial(Contractive, weight=0.5)}

    def __init__(
        self,
        shape: Sequence[int],
        latent: int | None = None,
        likelihood: Likelihood | None = None,
        **others: Any,
    ) -> None:
        if likelihood is None:
            unit_interval = tuple(others.get("value_range", (0.0, 1.0)) or ()) == (0.0, 1.0)
            likelihood = Bernoulli() if unit_interval else Gaussian()
        super().__init__(shape, latent, likelihood=likelihood, **others)


@final
class DenoisingAutoEncoder(Denoising, System):
    r"""Reconstruct the clean input from a corrupted one: r(x̃) − x̃ points back to the data.

    Under Gaussian corruption and squared error, (r(x̃) − x̃)/σ² estimates ∇ log p_σ.

    Raises:
        UsageError: at the first step, if the pairs are all clean.

    References:
        | Extracting and Composing Robust Features (Vincent et al., 2008)
        | A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011)
    """

    size = 256
    parts: ClassVar[Choice] = {
        "encoder": partial(MLP, widths=(512,)),
        "posterior": Dirac,
        "decoder": partial(MLP, widths=(512,)),
        "likelihood": Gaussian,
    }


@final
class StochasticAutoEncoder(System):
    r"""Distributions on both sides: q(z|x) with a learned spread, p(x|z) with a learned σ.

    Nothing in −E log p(x|z) rewards the spread of q, which narrows as training goes on; a Rate,
    MMD or TotalCorrelation keeps it open.
    """

    size = 16
    parts = GAUSSIAN


@final
class VariationalAutoEncoder(System):
    r"""Hold q(z|x) to the prior: the loss is the negative evidence lower bound, D + R.

    The likelihood is Gaussian with one learned σ, which balances the two on data of any range.
    Take Bernoulli for binary data; on grey values it is the field's custom, and no density.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)
        | Stochastic Backpropagation (Rezende et al., 2014)
        | Simple and Effective VAE Training with Calibrated Decoders (Rybkin et al., 2021)
    """

    size = 16
    parts = GAUSSIAN
    penalties: ClassVar[Choice] = {"rate": Rate}


@final
class ImportanceWeightedAutoEncoder(ImportanceWeighted, System):
    """Tighten the variational bound with several samples of each code: see `ImportanceWeighted`.

    Raises:
        UsageError: if it is given a Rate, which its bound holds already.

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
    """

    size = 16
    parts = GAUSSIAN

    def __init__(
        self, shape: Sequence[int], latent: int | None = None, samples: int = 5, **others: Any
    ) -> None:
        super().__init__(shape, latent, samples=samples, **others)
        if any(isinstance(r, Rate) for r in self.regularizers.values()):
            raise UsageError("the importance-weighted bound holds the rate already: drop Rate.")
