"""What a likelihood, prior or posterior of one's own returns is over whole events, or refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as td

from ae_lightning import ImportanceWeightedAutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.likelihoods import Likelihood
from ae_lightning.nn import MLP, ConvDecoder, ResidualDecoder
from ae_lightning.posteriors import DiagonalGaussian, Posterior
from ae_lightning.priors import Prior
from ae_lightning.regularizers import Rate
from helpers.models import SHAPE, model_of
from helpers.penalties import batch_of


class UnsummedPixels(Likelihood):
    def forward(self, features: Tensor) -> td.Distribution:
        return td.Normal(features, 1.0)


class OtherPixels(Likelihood):
    """Two channels, against which one would be broadcast."""

    def features(self, shape) -> tuple[int, ...]:
        return (2 * shape[0], *shape[1:])

    def forward(self, features: Tensor) -> td.Distribution:
        return td.Independent(td.Normal(features, 1.0), self.event_dims)


class UnsummedCodes(Posterior):
    stochastic = True

    def features(self, latent: int) -> int:
        return latent

    def forward(self, features: Tensor) -> td.Distribution:
        return td.Normal(features, 1.0)


class UnsummedPrior(Prior):
    def build(self, latent, shape, encode) -> None:
        self.register_buffer("loc", torch.zeros(latent))

    def forward(self) -> td.Distribution:
        return td.Normal(self.loc, 1.0)


AS_WHOLE = "expected (1, 4, 4), such as Independent(…, 3) has."
AS_CODE = "expected (3,), such as Independent(…, 1) has."
REFUSED = {
    f"UnsummedPixels returned events of shape () (Normal): {AS_WHOLE}": {
        "likelihood": UnsummedPixels
    },
    f"OtherPixels returned events of shape (2, 4, 4) (Independent): {AS_WHOLE}": {
        "likelihood": OtherPixels
    },
    f"UnsummedCodes returned events of shape () (Normal): {AS_CODE}": {"posterior": UnsummedCodes},
    f"the prior returned events of shape () (Normal): {AS_CODE}": {
        "posterior": DiagonalGaussian,
        "prior": UnsummedPrior,
        "regularizers": lambda: {"rate": Rate()},
    },
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_over_whole_events_is_refused(said) -> None:
    model = model_of(**{name: make() for name, make in REFUSED[said].items()})
    with pytest.raises(UsageError) as refusal:
        model.objective(model.propagate(batch_of()))
    assert str(refusal.value) == said


def test_the_importance_weighted_bound_refuses_such_a_prior() -> None:
    model = ImportanceWeightedAutoEncoder(SHAPE, 3, prior=UnsummedPrior()).double()
    with pytest.raises(UsageError, match="the prior returned events of shape"):
        model.objective(model.propagate(batch_of(3)))


class Spread(Likelihood):
    """A Beta density of two features each, which says nothing of its mean's."""

    unit_interval = True

    def features(self, shape) -> tuple[int, ...]:
        return (2 * shape[0], *shape[1:])

    def forward(self, features: Tensor) -> td.Distribution:
        a, b = (F.softplus(features) + 0.01).chunk(2, dim=-self.event_dims)
        return td.Independent(td.Beta(a, b), self.event_dims)


@pytest.mark.parametrize(
    "decoder", [lambda: MLP([7]), lambda: ConvDecoder([4], 7), lambda: ResidualDecoder(2)]
)
def test_a_decoder_whose_start_is_not_known_starts_as_it_is(decoder) -> None:
    model = model_of(likelihood=Spread(), decoder=decoder(), value_range=(0.0, 1.0))
    pair = batch_of()
    before = model.eval().decode(torch.ones(2, 3).double()).mean
    model.start(pair.x)
    assert model.decode(torch.ones(2, 3).double()).mean.equal(before)
    assert model.encoder.mean.equal(pair.x.mean(0).flatten())
    assert model.objective(model.propagate(pair))["loss"].isfinite()
