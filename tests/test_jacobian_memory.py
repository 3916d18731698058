"""Exact Jacobians are computed a few rows at a time, as many as the free memory holds."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ae_lightning import geometry
from ae_lightning.core import memory
from ae_lightning.geometry import at_once, jacobian, squared_jacobian
from ae_lightning.nn import ConvEncoder, Network, ResidualEncoder
from ae_lightning.regularizers import Contractive, ContractiveHessian, ReconstructionContractive
from ae_lightning.systems import UndercompleteAutoEncoder
from helpers.closeness import close
from helpers.pairs import pair_of

GIB = 2.0**30


def model_of(encoder: Network, **penalties) -> UndercompleteAutoEncoder:
    torch.manual_seed(0)
    model = UndercompleteAutoEncoder((3, 16, 16), 12, encoder, regularizers=penalties)
    return model.double().eval()


ENCODERS = {
    "convolutions": lambda: ConvEncoder([4, 4], hidden=16),
    "residual": lambda: ResidualEncoder(width=4),
}


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch) -> None:
    monkeypatch.setattr(memory, "SMALL", 0)


X = torch.rand(4, 3, 16, 16, dtype=torch.float64)


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_of_a_jacobian_are_as_many_as_memory_allows(name, monkeypatch) -> None:
    f, seen = model_of(ENCODERS[name]()).code, {}
    for free in (64 * GIB, GIB / 64, 0.0):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        seen[free] = at_once(f, X), jacobian(f, X), squared_jacobian(f.__self__, X)
    (all_, J, squared), (some, J_some, squared_some), (one, J_one, squared_one) = seen.values()
    assert all_ == geometry.ROWS // len(X) > some > one == 1
    for other, norm in ((J_some, squared_some), (J_one, squared_one)):
        assert close(other, J)
        assert close(norm, squared)
        assert close(norm, J.square().flatten(1).sum(1))


def largest_tensor(f) -> int:
    with Largest() as seen:
        f()
    return seen.bytes


class Largest(TorchDispatchMode):
    """Note the largest tensor that an operation returns, but for views."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if not any(returned.alias_info for returned in func._schema.returns):
            sizes = [t.nbytes for t in tree_leaves(found) if isinstance(t, torch.Tensor)]
            self.bytes = max([self.bytes, *sizes])
        return found


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(
    "penalty",
    [Contractive(), ContractiveHessian(), ReconstructionContractive()],
    ids=["code", "hessian", "reconstruction"],
)
def test_an_exact_penalty_never_holds_the_whole_jacobian(penalty, name, monkeypatch) -> None:
    model = model_of(ENCODERS[name](), penalty=type(penalty)())
    out, found = model.propagate(pair_of(X)), []
    whole = 4 * 12 * X[0].numel() * 8  # B K D
    for free in (64 * GIB, 0.0):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        with torch.no_grad():
            found.append(model.regularizers["penalty"](model, out))
            largest = largest_tensor(lambda: model.regularizers["penalty"](model, out))
    assert largest <= whole / 2
    assert close(*found)
