"""How little an example looks like what a model was trained on: one class for each score."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least, one_of
from ae_lightning.distributions import single
from ae_lightning.evidence import log_likelihood
from ae_lightning.geometry import decoder_tangents
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.metrics import squared_error
from ae_lightning.model import Model
from ae_lightning.nn import ROWS

RANK: Final = 1e-3  # of the largest singular value; what is below is no tangent
ELEMENTS: Final = 2**24  # of Jacobians in memory


class AnomalyScore(ABC):
    """A function of a model and one example alone, and the larger, the stranger the example."""

    unit: ClassVar[str]

    def __init__(self, model: Model) -> None:
        self.model = model

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores of examples: (B, *S) -> (B,)."""


class ReconstructionError(AnomalyScore):
    """‖x − r(x)‖²/D: the squared error of an element, on average."""

    unit = "squared error of a value"

    def __call__(self, x: Tensor) -> Tensor:
        return squared_error(x, self.model.reconstruct(x)) / x[0].numel()


class NegativeBound(AnomalyScore):
    r"""The importance-weighted bound on −log p(x), whose noise is the same for all examples.

    Args:
        samples: K, the number of samples of q(z|x); the ELBO at 1.

    Raises:
        UsageError: if the posterior is a point, or nothing holds the codes to the prior.
    """

    unit = "nats"

    def __init__(self, model: Model, samples: int = 16) -> None:
        super().__init__(model)
        at_least("samples", samples, 1)
        if not (model.posterior.stochastic and model.held_to_prior):
            raise UsageError(
                "log p(x) is bounded by models with a stochastic posterior that is held to the "
                "prior, such as a variational autoencoder: score this one by error or normal."
            )
        self.samples = samples

    def __call__(self, x: Tensor) -> Tensor:
        # Keyed on one place, so that no score depends on what else there is.
        same = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return -log_likelihood(self.model, x, self.samples, self.model.seed, same)


class NormalDistance(AnomalyScore):
    r"""‖(I − U Uᵀ)(x − r(x))‖, with U the decoder's tangents at f(x).

    To first order, it is the distance of x from the manifold of all reconstructions: what an
    inexact encoder leaves to correct along the manifold does not count.

    Raises:
        UsageError: if the code is as large as the data, since the manifold then has no normal.
    """

    unit = "distance"

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if model.latent >= (D := math.prod(model.shape)):
            raise UsageError(
                f"a code of size {model.latent} has tangents in all {D} directions of the data: "
                "there is no normal, so score by error."
            )

    def __call__(self, x: Tensor) -> Tensor:
        rows = max(1, ELEMENTS // (x[0].numel() * self.model.latent))
        return torch.cat([self._distance(some) for some in x.split(rows)])

    def _distance(self, x: Tensor) -> Tensor:
        z = self.model.code(x)
        chunk = max(1, ROWS // len(x))
        U, values = decoder_tangents(lambda z: self.model.decode(z).mean, z, chunk=chunk)
        U = U.flatten(2) * (values > RANK * values[:, :1])[..., None]  # (B, K, D)
        e = single(x - self.model.reconstruct(x)).flatten(1)  # (B, D)
        along = torch.einsum("bkd,bd->bk", U, e)
        across = e - torch.einsum("bkd,bk->bd", U, along)
        return torch.linalg.vector_norm(across, dim=1)  # type: ignore[no-any-return]


class LikelihoodRatio(AnomalyScore):
    """log p_b(x) − log p(x), both bounded, with p_b a background model of what is not the subject.

    Args:
        background: trained on other data, or on these data strongly corrupted.

    Raises:
        UsageError: if the two are not of one shape, or only one has a Bernoulli likelihood, which
            is no density.

    References:
        | Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019)
    """

    unit = "nats"

    def __init__(self, model: Model, background: Model, samples: int = 16) -> None:
        super().__init__(model)
        if background.shape != model.shape:
            raise UsageError(
                f"the background model is for data of shape {background.shape}, and the model for "
                f"{model.shape}."
            )
        if isinstance(model.likelihood, Bernoulli) != isinstance(background.likelihood, Bernoulli):
            of, to = (type(m.likelihood).__name__ for m in (model, background))
            raise UsageError(
                f"the model's likelihood is {of}, and the background's {to}: a Bernoulli "
                "likelihood is no density, so that their ratio says nothing."
            )
        self.bounds = NegativeBound(model, samples), NegativeBound(background, samples)

    def __call__(self, x: Tensor) -> Tensor:
        own, background = (bound(x) for bound in self.bounds)
        return own - background


def score_named(
    name: str | None, model: Model, background: Model | None = None, samples: int = 16
) -> AnomalyScore:
    """Return the score of a name; error if it is None, or ratio if there is a background model.

    Raises:
        UsageError: if there is none, or it does not suit the model.
    """
    kinds: dict[str, Callable[[], AnomalyScore]] = {
        "error": lambda: ReconstructionError(model),
        "bound": lambda: NegativeBound(model, samples),
        "normal": lambda: NormalDistance(model),
    }
    if background is not None:
        kinds = {"ratio": lambda: LikelihoodRatio(model, background, samples)}
    elif name == "ratio":
        raise UsageError("score is ratio: name the background model by against.")
    name = next(iter(kinds)) if name is None else name
    one_of("score", name, kinds)
    return kinds[name]()
