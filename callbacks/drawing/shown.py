"""The kind of figure that is drawn; a module of its own, since matplotlib loads on first use."""

from matplotlib.figure import Figure

from .saving import png
from .theme import house_style


class ShownFigure(Figure):  # type: ignore[misc]
    """A figure that a notebook shows; of others it shows none until pyplot is imported."""

    def _repr_png_(self) -> bytes:
        with house_style():
            return png(self)
