"""What a penalty asks of a model: errors, warnings, and a plug-in of one method."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ae_lightning import priors
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import ForwardPass
from ae_lightning.nn import MLP, Network, Rectifier, Sigmoid, TiedMLP, TopK, UnitVariance
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers import (
    L1,
    L2,
    MMD,
    Contractive,
    ContractiveHessian,
    DecoderNorm,
    DegenerateObjective,
    GaussianKernel,
    Orthogonality,
    Rate,
    ReconstructionContractive,
    Regularizer,
    SparsityKL,
    StudentT,
    TotalCorrelation,
)
from helpers.closeness import close
from helpers.models import SHAPE
from helpers.penalties import batch_of, penalised, squared_norm

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


def raised(*regularizers, **parts) -> str:
    with pytest.raises(UsageError) as error:
        penalised({f"r{i}": r for i, r in enumerate(regularizers)}, **parts)
    return str(error.value)


@pytest.mark.parametrize("regularizer", [Rate(), Rate(free_bits=1.0), TotalCorrelation()])
def test_a_rate_needs_a_stochastic_posterior(regularizer) -> None:
    said = raised(regularizer, posterior=Dirac())
    assert said == (
        f"{type(regularizer).__name__} needs a stochastic posterior such as DiagonalGaussian, "
        "not Dirac."
    )


@pytest.mark.parametrize("prior", [priors.GaussianMixture, priors.VampPrior])
def test_free_bits_need_a_prior_that_is_a_product(prior) -> None:
    said = raised(Rate(free_bits=0.1), posterior=DiagonalGaussian(), prior=prior())
    assert "free_bits needs a product over the code's dimensions" in said
    penalised({"r": Rate(free_bits=0.1)}, DiagonalGaussian(), prior=priors.LaplacePrior())


@pytest.mark.parametrize("posterior", [Dirac, lambda: Dirac(Rectifier()), DiagonalGaussian])
def test_sparsity_needs_a_sigmoid_code(posterior) -> None:
    assert "use the posterior Dirac(Sigmoid())" in raised(SparsityKL(), posterior=posterior())


def test_orthogonality_needs_a_decoder_with_atoms() -> None:
    class Mine(Network):
        def build(self, inputs, outputs, mirror=None) -> None:
            self.map = torch.nn.Linear(inputs[0], 16)

        def forward(self, z: Tensor) -> Tensor:
            return self.map(z).unflatten(1, SHAPE)

    assert raised(Orthogonality(), decoder=Mine()).startswith("Mine does not name")


def warned(*regularizers, **parts) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        penalised({f"r{i}": r for i, r in enumerate(regularizers)}, **parts)
    return [str(w.message) for w in caught if w.category is DegenerateObjective]


JACOBIANS = [Contractive, ContractiveHessian]


@pytest.mark.parametrize("kind", [*JACOBIANS, L1, L2, StudentT])
def test_a_code_whose_scale_is_free_warns(kind) -> None:
    for posterior in (Dirac(), Dirac(Sigmoid()), Dirac(TopK(2)), DiagonalGaussian()):
        [said] = warned(kind(), posterior=posterior)
        assert said.startswith(f"{kind.__name__} can be lowered for free")


@pytest.mark.parametrize("kind", [*JACOBIANS, L1, L2, StudentT])
@pytest.mark.parametrize(
    "parts",
    [
        lambda: {"posterior": Dirac(UnitVariance())},
        lambda: {"posterior": Dirac(), "decoder": TiedMLP()},
        lambda: {"posterior": Dirac(), "decoder": MLP([], unit_columns=True)},
        lambda: {"posterior": DiagonalGaussian(sigma=0.1)},
    ],
)
def test_a_code_whose_scale_is_held_does_not(kind, parts) -> None:
    assert not warned(kind(), **parts())


@pytest.mark.parametrize("other", [Rate, MMD, DecoderNorm, Orthogonality])
def test_a_penalty_on_the_scale_holds_it(other) -> None:
    for pair in ((L1(), other()), (other(), Contractive())):
        assert not warned(*pair, posterior=DiagonalGaussian(), decoder=MLP([]))


@pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "Hardtanh"])
def test_a_jacobian_through_piecewise_linear_units_warns(activation) -> None:
    for kind in (*JACOBIANS, ReconstructionContractive):
        parts = {"encoder": MLP([7], activation), "posterior": Dirac(UnitVariance())}
        [said] = warned(kind(), **parts)
        assert said.startswith(f"{kind.__name__} through {activation} only shrinks weights")
    [said] = warned(ReconstructionContractive(), decoder=MLP([7], activation), posterior=Dirac())
    assert activation in said


def test_a_jacobian_through_smooth_units_does_not() -> None:
    for kind in (*JACOBIANS, ReconstructionContractive):
        assert not warned(kind(), posterior=Dirac(UnitVariance()))
        assert not warned(kind(), encoder=MLP([7], "ReLU"), decoder=TiedMLP())  # a sigmoid code


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: L1(math.nan), "weight is nan"),
        (lambda: Rate(math.inf), "weight is inf"),
        (lambda: L2("0.1"), "weight is '0.1'"),
        (lambda: L1(scale=0.0), r"scale is 0\.0"),
        (lambda: StudentT(df=-1.0), r"df is -1\.0"),
        (lambda: SparsityKL(target=1.0), r"target is 1\.0"),
        (lambda: Contractive(projections=0), "projections is 0"),
        (lambda: ReconstructionContractive(projections=-1), "projections is -1"),
        (lambda: ContractiveHessian(sigma=0.0), r"sigma is 0\.0"),
        (lambda: ContractiveHessian(samples=0), "samples 0"),
        (lambda: Rate(free_bits=-0.1), r"free_bits is -0\.1"),
        (lambda: Rate(capacity=-2.0), r"capacity is -2\.0"),
        (lambda: TotalCorrelation(dataset_size=0), "dataset_size is 0"),
        (lambda: GaussianKernel(math.nan), "scale is nan"),
    ],
)
def test_wrong_arguments_are_named(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_a_negative_weight_rewards() -> None:
    model = penalised({"l2": L2(-0.5)})
    terms = model.objective(model.propagate(batch_of()))
    assert terms["loss"] < terms["distortion"]


def test_a_users_plug_in_is_one_class_with_one_method() -> None:
    class Slowness(Regularizer):
        def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
            return (out.q.mean[1:] - out.q.mean[:-1]).square().sum()

    model = penalised({"slow": Slowness(0.5)})
    out = model.propagate(batch_of())
    terms = model.objective(out)
    assert close(terms["slow"], squared_norm(model.code(out.x).diff(dim=0)).sum())
    assert terms["loss"].equal(terms["distortion"] + 0.5 * terms["slow"])


@pytest.mark.parametrize("value", [2.0, np.float64(2), None])
def test_a_penalty_that_is_no_tensor_is_refused(value: Any) -> None:
    class Counted(Regularizer):
        def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
            return value

    model = penalised({"wrong": Counted()})
    with pytest.raises(UsageError, match=rf"Counted returned {type(value).__name__}: sum over the"):
        model.objective(model.propagate(batch_of()))


def test_a_penalty_of_the_wrong_shape_is_refused() -> None:
    class Unsummed(Regularizer):
        def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
            return out.q.mean.square()

    model = penalised({"wrong": Unsummed()})
    with pytest.raises(UsageError, match=r"Unsummed returned the shape \(6, 3\): sum over the"):
        model.objective(model.propagate(batch_of()))
