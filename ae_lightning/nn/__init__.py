"""Networks, whose shapes the owning autoencoder sets, and code activations."""

from .activations import Activation as Activation
from .activations import Rectifier as Rectifier
from .activations import Sigmoid as Sigmoid
from .activations import TopK as TopK
from .activations import UnitNorm as UnitNorm
from .activations import UnitVariance as UnitVariance
from .convolutions import ConvDecoder as ConvDecoder
from .convolutions import ConvEncoder as ConvEncoder
from .identity import Identity as Identity
from .identity import Residual as Residual
from .mlp import MLP as MLP
from .mlp import TiedMLP as TiedMLP
from .mlp import UnitColumns as UnitColumns
from .network import ROWS as ROWS
from .network import Network as Network
from .network import activation_of as activation_of
from .network import hidden_of as hidden_of
from .network import slope as slope
