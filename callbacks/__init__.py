"""Pictures of autoencoders, during training and on their own."""

from .base import PictureCallback, observing, picture
from .reconstructions import Reconstructions, reconstructions

__all__ = ["PictureCallback", "Reconstructions", "observing", "picture", "reconstructions"]
