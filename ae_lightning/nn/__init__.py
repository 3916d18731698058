"""Networks, whose shapes the owning autoencoder sets, and code activations."""

from .activations import Activation, Rectifier, Sigmoid, TopK, UnitNorm, UnitVariance
from .convolutions import ConvDecoder, ConvEncoder
from .identity import Identity, Residual
from .mlp import MLP, TiedMLP, UnitColumns
from .network import ROWS, Network, activation_of, hidden_of, slope
from .residual import ResidualDecoder, ResidualEncoder, channels_of
