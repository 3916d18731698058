"""Every picture is legible: no text lies over another or beyond the edge, none is too small."""

from itertools import combinations

import pytest
from ae_lightning.callbacks.report import known_pictures
from ae_lightning.callbacks.style import house_style
from ae_lightning.datamodules import Digits, Manifold, Ring
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ae_lightning import systems
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.likelihoods import Gaussian
from ae_lightning.parts import UsageError

WIDEST = 1000  # pixels: at 600, a letter of 8 points is then 9 pixels high still
RATES = {f"val/rate_{k}": [(400, 1.0), (800, 0.1 * k)] for k in range(12)}
HISTORY = {
    "train/loss": [(400, 1012.5), (4000, 731.25)],
    "train/distortion": [(400, 1010.0), (4000, 700.125)],
    "train/rate": [(400, 0.00004), (4000, 31.125)],
    "train/rate_weight": [(400, 0.0), (4000, 1.0)],
    "val/loss": [(4000, 731.5)],
    "val/elbo": [(4000, -731.5)],
    "val/mse": [(4000, 0.00012)],
    **RATES,
}


def written(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, and its box in pixels."""
    drawn, draw = [], Text.draw

    def noting(self, renderer):
        if self.get_visible() and self.get_text():
            drawn.append(self)
        return draw(self, renderer)

    with pytest.MonkeyPatch.context() as patch, house_style():
        canvas = FigureCanvasAgg(figure)
        patch.setattr(Text, "draw", noting)
        canvas.draw()
        renderer = canvas.get_renderer()
        return [(t.get_text(), t.get_window_extent(renderer)) for t in drawn]


def faults(figure: Figure) -> list[str]:
    width, height = figure.get_size_inches() * figure.dpi
    texts = written(figure)
    found = [] if width <= WIDEST else [f"{width:.0f} pixels wide"]
    for text, box in texts:
        if min(box.x0, box.y0) < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            found.append(f"{text!r} leaves the picture")
    for (a, at), (b, there) in combinations(texts, 2):
        if (common := Bbox.intersection(at, there)) and min(common.width, common.height) > 2:
            found.append(f"{a!r} lies over {b!r}")
    return found


SYSTEMS = {
    "DenoisingAutoEncoder": 5,
    "SparseAutoEncoder": 64,
    "VariationalAutoEncoder": 12,
    "UndercompleteAutoEncoder": 2,
    "ContractiveAutoEncoder": 80,
}


def suitable(model, data):
    for name, kind in known_pictures().items():
        made = kind(items=30, **({"start": None} if "traversal" in name else {}))
        try:
            yield name, made.picture(model, data, HISTORY)
        except UsageError:
            continue


@pytest.mark.parametrize("system", SYSTEMS)
def test_pictures_of_images_are_legible(system) -> None:
    model = getattr(systems, system)((1, 8, 8), latent=SYSTEMS[system])
    data = Digits(corruption=GaussianNoise(0.2) if model.needs_corruption else None)
    assert {n: f for n, figure in suitable(model, data) if (f := faults(figure))} == {}


@pytest.mark.parametrize("toy", [None, Ring()])
def test_pictures_of_vectors_are_legible(toy) -> None:
    model = systems.DenoisingAutoEncoder((2,), latent=2, likelihood=Gaussian(0.1), value_range=None)
    data = Manifold(toy, size=600, corruption=GaussianNoise(0.1))
    assert {n: f for n, figure in suitable(model, data) if (f := faults(figure))} == {}
