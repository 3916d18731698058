"""Networks, whose shapes the owning autoencoder sets, and code activations."""

from ae_lightning.nn.activations import (
    Activation,
    Rectifier,
    Sigmoid,
    TopK,
    UnitNorm,
    UnitVariance,
)
from ae_lightning.nn.convolutions import ConvDecoder, ConvEncoder
from ae_lightning.nn.identity import Identity, Residual
from ae_lightning.nn.mlp import MLP, TiedMLP, UnitColumns
from ae_lightning.nn.network import ROWS, Network, activation_of, hidden_of, slope

__all__ = [
    "MLP",
    "ROWS",
    "Activation",
    "ConvDecoder",
    "ConvEncoder",
    "Identity",
    "Network",
    "Rectifier",
    "Residual",
    "Sigmoid",
    "TiedMLP",
    "TopK",
    "UnitColumns",
    "UnitNorm",
    "UnitVariance",
    "activation_of",
    "hidden_of",
    "slope",
]
