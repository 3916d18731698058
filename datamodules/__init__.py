"""Data as pairs of corrupted and clean inputs, in fixed splits."""

from .binarise import Binarise, Dynamic, Threshold
from .cifar10 import CIFAR10
from .digits import Digits
from .folder import ImageFolder
from .loading.datasets import Examples, InMemory
from .loading.downloaded import Downloaded
from .manifold import Manifold
from .mnist import MNIST, FashionMNIST
from .numpy_file import NumpyFile
from .pairs import PairDataModule
from .sprites import Sprites
from .stream import Stream
from .toys.densities import MixtureOfGaussians, Toy
from .toys.parametrised import Parametrised, Ring, Spiral, SwissRoll
