"""Penalties on the decoder's weights."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from ae_lightning.core.types import ForwardPass
from ae_lightning.model import Model
from ae_lightning.regularizers.base import Regularizer


class DecoderNorm(Regularizer):
    r"""Penalise Σ θ² over the decoder's weights, counting those of a tied encoder once.

    Columns of unit norm count as such, with a gradient of zero.

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)

    >>> from ae_lightning.systems import UndercompleteAutoEncoder
    >>> UndercompleteAutoEncoder((1, 8, 8), regularizers={"decoder": DecoderNorm(1e-4)}).weights()
    {'decoder': 0.0001}
    """

    def holds_scale(self, model: Model) -> bool:
        return True

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        # A dict, not a set, whose order would change the last bit from run to run.
        own_and_tied = dict.fromkeys([*weights_of(model.decoder), *model.decoder.tied()])
        return torch.stack([theta.square().sum() for theta in own_and_tied]).sum()


def weights_of(network: nn.Module) -> Iterator[Tensor]:
    """The weights that a network computes with: of a parametrized one, what it is mapped to."""
    for module in network.modules():
        if not isinstance(module, ParametrizationList):
            yield from module.parameters(recurse=False)
        if is_parametrized(module):
            yield from (getattr(module, name) for name in module.parametrizations)  # type: ignore[union-attr]


class Orthogonality(Regularizer):
    r"""Penalise ‖WᵀW − I‖²_F, with W the decoder's first weight matrix.

    Its columns, the atoms that a code combines, become orthonormal.

    Raises:
        UsageError: if the decoder has no such matrix.

    References:
        | Can We Gain More from Orthogonality Regularizations in Training Deep CNNs? (Bansal et
          al., 2018)

    >>> from ae_lightning.systems import LinearAutoEncoder
    >>> LinearAutoEncoder((1, 8, 8), regularizers={"orthogonality": Orthogonality(0.1)}).weights()
    {'orthogonality': 0.1}
    """

    def check(self, model: Model) -> None:
        model.decoder.atoms()

    def holds_scale(self, model: Model) -> bool:
        return model.decoder.affine  # otherwise, a later layer can scale back

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        W = model.decoder.atoms()  # (H, K)
        eye = torch.eye(W.shape[1], dtype=W.dtype, device=W.device)
        return (W.mT @ W - eye).square().sum()
