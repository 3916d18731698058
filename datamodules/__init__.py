"""Data as pairs of corrupted and clean inputs, in fixed splits."""

from .base import PairDataModule
from .binarise import Binarise, Dynamic, Threshold
from .cifar10 import CIFAR10
from .digits import Digits
from .downloaded import Downloaded
from .mnist import MNIST, FashionMNIST

__all__ = [
    "CIFAR10",
    "MNIST",
    "Binarise",
    "Digits",
    "Downloaded",
    "Dynamic",
    "FashionMNIST",
    "PairDataModule",
    "Threshold",
]
