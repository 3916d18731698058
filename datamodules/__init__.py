"""Data as pairs of corrupted and clean inputs, in fixed splits."""

from .arrays import NumpyFile
from .base import PairDataModule
from .binarise import Binarise, Dynamic, Threshold
from .cifar10 import CIFAR10
from .curves import Parametrised, Ring, Spiral, SwissRoll
from .digits import Digits
from .downloaded import Downloaded
from .folder import ImageFolder
from .manifold import Manifold
from .mnist import MNIST, FashionMNIST
from .sprites import Sprites
from .stream import Stream
from .toys import MixtureOfGaussians, Toy

__all__ = [
    "CIFAR10",
    "MNIST",
    "Binarise",
    "Digits",
    "Downloaded",
    "Dynamic",
    "FashionMNIST",
    "ImageFolder",
    "Manifold",
    "MixtureOfGaussians",
    "NumpyFile",
    "PairDataModule",
    "Parametrised",
    "Ring",
    "Spiral",
    "Sprites",
    "Stream",
    "SwissRoll",
    "Threshold",
    "Toy",
]
