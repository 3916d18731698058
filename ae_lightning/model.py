"""The one model: its parts, the objective that they make, and nothing of how it is trained."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from numbers import Real
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.parts import Part, Recorded
from ae_lightning.core.showing import shown
from ae_lightning.core.types import ForwardPass, Pair
from ae_lightning.distributions import require_event, sample_by_index
from ae_lightning.likelihoods import Likelihood
from ae_lightning.nn import Network, channels_of
from ae_lightning.posteriors import Posterior
from ae_lightning.priors import Prior, StandardNormal
from ae_lightning.schedules import Clock


def is_range(value: Any) -> bool:
    """Whether a value is two numbers, the smaller one first.

    >>> is_range((0.0, 1.0)), is_range([1, 0]), is_range({"a": 1})
    (True, False, False)
    """
    pair = value if isinstance(value, Sequence) and len(value) == 2 else ("", "")
    return all(isinstance(v, Real) for v in pair) and bool(pair[0] < pair[1])


class Penalty(Protocol):
    """What the objective asks of a penalty Ω; `Regularizer` is the base of every one."""

    holds_prior: ClassVar[bool]

    @property
    def active(self) -> bool: ...
    def implied_prior(self, posterior: Posterior) -> Prior | None: ...
    def weight_at(self, clock: Clock) -> float: ...
    def check(self, model: "Model") -> None: ...
    def __call__(self, model: "Model", out: ForwardPass) -> Tensor: ...


@contextmanager
def keeping_buffers(module: nn.Module) -> Iterator[None]:
    """Let forward passes change copies of a module's buffers, such as running statistics."""
    kept = [(m, name, b) for m in module.modules() for name, b in m.named_buffers(recurse=False)]
    for m, name, b in kept:
        setattr(m, name, b.clone())
    try:
        yield
    finally:
        for m, name, b in kept:
            setattr(m, name, b)


@shown
class Model(Recorded, nn.Module):
    r"""An autoencoder put together from parts, and the one objective.

    .. math:: E_{q(z|\tilde x)}[-\log p(x|z)] + \sum_k w_k(t)\, \Omega_k

    in nats per example: summed over the event, averaged over the batch.

    Training starts from the first batch: an MLP encoder subtracts its mean image from every input,
    and the decoder's last bias is set so that every reconstruction is that mean, each pixel kept
    within [0.01, 0.99] if the likelihood is on [0, 1] (`start`). A learned log σ of a likelihood
    stays above −6; that of a posterior or a prior is slowed down beyond ±10.

    Args:
        shape: the data's shape S, such as (1, 28, 28).
        latent: the code's size K.
        encoder, posterior: x̃ -> features -> q(z|x̃).
        decoder, likelihood: z -> features -> p(x|z).
        prior: p(z). If None, the one that the penalties on the code stand for, as L1 does for a
            Laplace prior, or else a standard normal.
        regularizers: the penalties Ω_k by name, each with its weight.
        samples: R, how many samples of q a stochastic posterior draws for each example.
        value_range: the smallest and largest value of the data; None if unbounded.
        seed: what the noise of training and of evaluation is a function of.

    Raises:
        UsageError: if the parts contradict each other or the data.
    """

    needs_corruption: ClassVar[bool] = False  # clean pairs are refused
    bound_terms: ClassVar[tuple[str, ...]] = ("distortion",)
    bound_holds_prior: ClassVar[bool] = False  # it holds all codes, q(z), to the prior

    code_shape: tuple[int, ...]  # (K,), or channels, height, width of a code that keeps its place
    kept: frozenset[str] = frozenset()  # parts of another run, which a first batch does not change
    regularizers: Any  # nn.ModuleDict of Penalty
    started: Tensor  # whether a first batch has been seen
    dataset_size = 0  # how many examples it is trained on; 0 if that is not known

    def __init__(
        self,
        shape: Sequence[int],
        latent: int,
        encoder: Network,
        posterior: Posterior,
        decoder: Network,
        likelihood: Likelihood,
        prior: Prior | None = None,
        regularizers: Mapping[str, Penalty] | None = None,
        samples: int = 1,
        value_range: tuple[float, float] | None = (0.0, 1.0),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(latent, samples, *shape) < 1:
            raise UsageError(
                f"latent {latent}, samples {samples} and shape {tuple(shape)} must be at least 1."
            )
        if not (value_range is None or is_range(value_range)):
            given = printable(repr(value_range), 60)
            raise UsageError(f"value_range is {given}: expected two numbers, the smaller first.")
        if likelihood.unit_interval and (value_range is None or tuple(value_range) != (0.0, 1.0)):
            name = type(likelihood).__name__
            raise UsageError(f"{name} is for data in [0, 1], and these are not: use Gaussian.")
        self.shape, self.latent, self.samples = tuple(shape), latent, samples
        self.value_range, self.seed, self.clock = value_range, seed, Clock()
        self.encoder, self.posterior = encoder, posterior
        self.decoder, self.likelihood = decoder, likelihood
        penalties = [r for r in (regularizers or {}).values() if r.active]
        if prior is None and not (self.bound_holds_prior or any(r.holds_prior for r in penalties)):
            prior = next(filter(None, (r.implied_prior(posterior) for r in penalties)), None)
        self.prior = StandardNormal() if prior is None else prior
        self.regularizers = nn.ModuleDict(regularizers)  # type: ignore[arg-type]
        self.register_buffer("started", torch.tensor(False))
        self._build()

    def _build(self) -> None:
        for part in self.children():
            if isinstance(part, Part) and part.__dict__.setdefault("owner", id(self)) != id(self):
                name = type(part).__name__
                raise UsageError(f"this {name} belongs to another model: give each its own parts.")
        self.posterior.build(self.latent)
        self.likelihood.build(self.shape)
        self.code_shape = self._code_shape()
        self.encoder.build(self.shape, (self.posterior.features(self.latent),))
        features = self.likelihood.features(self.shape)
        self.decoder.build((self.latent,), features, mirror=self.encoder)
        self.prior.build(self.latent, self.shape, self.encode)
        for penalty in self.regularizers.values():
            penalty.check(self)

    def _code_shape(self) -> tuple[int, ...]:
        grid = self.encoder.grid(self.shape)
        return (self.latent,) if grid is None else (channels_of(self.latent, grid), *grid)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.started.device

    def facts(self) -> dict[str, object]:
        """What its `repr` tells, by name."""
        parts = ("encoder", "posterior", "decoder", "likelihood", "prior")
        return {
            "shape": self.shape,
            "latent": self.latent,
            **{name: getattr(self, name) for name in parts},
            **{f"regularizers.{name}": penalty for name, penalty in self.regularizers.items()},
            "parameters": f"{sum(p.numel() for p in self.parameters()):,}",
        }

    # ------------------------------------------------------------------ the maps

    def encode(self, x: Tensor) -> Distribution:
        """Return q(z|x), with batch (B,) and event (K,), for x (B, *S)."""
        return self.posterior(self.encoder(x))  # type: ignore[no-any-return]

    def code(self, x: Tensor) -> Tensor:
        """Return the code f(x), which is the mean of q(z|x) if it has one: (B, *S) -> (B, K)."""
        return self.posterior.code(self.encoder(x))

    def decode(self, z: Tensor) -> Distribution:
        """Return p(x|z), with event S and the batch of z (*batch, K)."""
        features = self.decoder(z.flatten(0, -2))
        return self.likelihood(features.unflatten(0, z.shape[:-1]))  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return r(x), the mean of p(x|f(x)): (B, *S) -> (B, *S)."""
        return self.decode(self.code(x)).mean

    forward = reconstruct

    @property
    def held_to_prior(self) -> bool:
        """Whether the objective holds all codes, q(z), to the prior: its draws are then codes."""
        penalties = self.regularizers.values()
        return self.bound_holds_prior or any(r.holds_prior and r.active for r in penalties)

    @torch.no_grad()
    def sample(self, n: int, density: Distribution | None = None) -> Tensor:
        """Return the means (n, *S) of p(x|z) at n draws z of the prior, or of a density of codes.

        Args:
            density: what to draw from instead of the prior, with batch () and event (K,), such as
                a mixture that was fitted to the training codes.

        Raises:
            UsageError: if nothing holds the codes to the prior, and no density is given.
        """
        return self.decode(self.sample_codes(n, density)).mean

    @torch.no_grad()
    def sample_codes(self, n: int, density: Distribution | None = None) -> Tensor:
        """Return n draws (n, K) of the prior or of a density of codes, as for `sample`."""
        if density is None and not self.held_to_prior:
            raise UsageError(
                f"nothing holds the codes of this {type(self).__name__} to its prior, so that a "
                "draw of the prior is no code: train it with a Rate or an MMD, or give sample the "
                "density of its training codes."
            )
        return (self.prior() if density is None else density).sample((n,))

    # -------------------------------------------------------------- the objective

    def propagate(self, pair: Pair) -> ForwardPass:
        """Run a pair through encoder, posterior, decoder and likelihood.

        Raises:
            UsageError: if the pair is not of this model's shape, or a distribution not over events.
        """
        pair = self.check_pair(pair)
        features = self.encoder(pair.x_tilde)
        q = self.posterior(features)
        require_event(q, (self.latent,), type(self.posterior).__name__)
        R = self.samples if self.posterior.stochastic else 1
        # Evaluation noise is keyed on the example, so that any batch size gives the same.
        z = q.rsample((R,)) if self.training else sample_by_index(q, R, self.seed, pair.places)
        p = self.decode(z)
        require_event(p, self.shape, type(self.likelihood).__name__)
        return ForwardPass(pair.x, pair.x_tilde, features, q, z, p)

    def check_pair(self, pair: Pair) -> Pair:
        """Return the pair, or raise UsageError if it is not one, or not of this model's shape."""
        if not isinstance(pair, Pair):
            name = type(pair).__name__
            raise UsageError(f"the data yields a {name}: expected a Pair (x_tilde, x, y, places).")
        if (shape := tuple(pair.x.shape[1:])) != self.shape:
            raise UsageError(f"the model is for data of shape {self.shape}, and these are {shape}.")
        return pair

    def distortion(self, out: ForwardPass) -> Tensor:
        """D = −E_q log p(x|z), in nats: (B,)."""
        return -out.p.log_prob(out.x).mean(0)

    def objective(self, out: ForwardPass) -> dict[str, Tensor]:
        """Return the loss, the distortion and every raw penalty of non-zero weight, as batch means.

        loss = distortion + Σ weight · penalty, at the weights of `self.clock`.
        """
        return self.penalised({"distortion": self.distortion(out).mean()}, out)

    def penalised(self, bound: dict[str, Tensor], out: ForwardPass) -> dict[str, Tensor]:
        """Add up a bound's terms and the weighted penalties to the loss, keeping each raw."""
        terms = dict(bound)
        loss = reduce(torch.add, bound.values())
        for name, weight in self.weights().items():
            if weight != 0:
                terms[name] = self.regularizers[name](self, out).mean()
                loss = loss + weight * terms[name]
        return {"loss": loss, **terms}

    def weights(self) -> dict[str, float]:
        """Every penalty's weight at `self.clock`."""
        return {name: r.weight_at(self.clock) for name, r in self.regularizers.items()}

    def watch(self, terms: dict[str, Tensor], out: ForwardPass) -> None:
        """Add the raw penalties whose weight is 0 now, without a trace on training."""
        missing = [name for name in self.regularizers if name not in terms]
        if not missing:
            return
        devices = [out.x.device] if out.x.is_cuda else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices), keeping_buffers(self):
            for name in missing:
                terms[name] = self.regularizers[name](self, out).mean()

    # ------------------------------------------------------------------ the start

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Start from a first batch (B, *S): the code centred, the reconstruction at the mean."""
        mean = x.mean(0)
        if not mean.isfinite().all():
            return  # the loss will not be finite either, and say so
        if "encoder" not in self.kept:
            self.encoder.centre(mean, None)
        if "decoder" not in self.kept:
            self.decoder.centre(None, self.likelihood.link(mean))
        if "prior" not in self.kept:
            self.prior.start(x)
        self.started.fill_(True)
