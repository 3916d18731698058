"""Every picture is legible: no text lies over another or beyond the edge, none is too small."""

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ae_lightning import systems
from ae_lightning.callbacks import score_field
from ae_lightning.callbacks.drawing.images import pixel_figure, place, show_image
from ae_lightning.callbacks.drawing.theme import house_style
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits, Manifold, MixtureOfGaussians, Ring, Sprites
from ae_lightning.likelihoods import Gaussian

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
    """Every text and thumbnail that is drawn, and its box in pixels."""
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
        texts = [(t.get_text(), t.get_window_extent(renderer)) for t in drawn]
        thumbnails = [t for t in figure.findobj(AnnotationBbox) if t.get_visible()]
        return texts + [("a thumbnail", t.patch.get_window_extent(renderer)) for t in thumbnails]


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
    for image in (image for axes in figure.axes for image in axes.images):
        shown = image.get_window_extent()
        for text, box in texts:
            common = None if text == "a thumbnail" else Bbox.intersection(box, shown)
            if common and min(common.width, common.height) > 2:
                found.append(f"{text!r} lies over an image")
    return found


def test_faults_are_found() -> None:
    with house_style():
        figure = pixel_figure(400, 300)
        figure.suptitle("a title", y=0.99)
        axes = place(figure, 50, 60, 300, 200)
        show_image(axes, np.zeros((20, 30, 1), np.float32), sharp=True)
    assert faults(figure) == []
    axes.set_title("another", y=1.0)
    assert faults(figure) == []
    axes.set_title("another", y=1.15, x=0.45)
    figure.text(0.5, 0.5, "within")
    figure.text(0.95, 0.02, "beyond")
    corner = OffsetImage(np.zeros((12, 12)))
    axes.add_artist(AnnotationBbox(corner, (15, 0), (0, 20), boxcoords="offset points"))
    assert faults(figure) == [
        "'beyond' leaves the picture",
        "'another' lies over 'a title'",
        "'another' lies over 'a thumbnail'",
        "'a title' lies over 'a thumbnail'",
        "'within' lies over an image",
    ]


SYSTEMS = [
    ("DenoisingAutoEncoder", 5),
    ("DenoisingAutoEncoder", 1),
    ("SparseAutoEncoder", 64),
    ("VariationalAutoEncoder", 12),
    ("VariationalAutoEncoder", 1),
    ("UndercompleteAutoEncoder", 2),
    ("ContractiveAutoEncoder", 80),
    ("StochasticAutoEncoder", 2),
]


def suitable(model, data):
    for name, kind in known_pictures().items():
        made = kind(items=30, **({"start": None} if "traversal" in name else {}))
        try:
            yield name, made.picture(model, data, HISTORY)
        except UsageError:
            continue


@pytest.mark.parametrize(("system", "latent"), SYSTEMS)
def test_pictures_of_images_are_legible(system, latent) -> None:
    model = getattr(systems, system)((1, 8, 8), latent)
    data = Digits(corruption=GaussianNoise(0.2) if model.needs_corruption else None)
    assert {n: f for n, figure in suitable(model, data) if (f := faults(figure))} == {}


@pytest.mark.parametrize("toy", [None, Ring()])
def test_pictures_of_vectors_are_legible(toy) -> None:
    model = systems.DenoisingAutoEncoder((2,), latent=2, likelihood=Gaussian(0.1), value_range=None)
    data = Manifold(toy, size=600, corruption=GaussianNoise(0.1))
    assert {n: f for n, figure in suitable(model, data) if (f := faults(figure))} == {}


@pytest.mark.parametrize("size", [0.001, 10_000.0])
def test_pictures_of_vectors_of_any_size_are_legible(size) -> None:
    centres = [[-1.5 * size, -size], [1.5 * size, -size], [0.0, 1.5 * size]]
    toy = MixtureOfGaussians(centres, 0.4 * size)
    data = Manifold(toy, size=600)
    model = systems.VariationalAutoEncoder((2,), latent=2, value_range=None)
    assert {n: f for n, figure in suitable(model, data) if (f := faults(figure))} == {}


@pytest.mark.parametrize("size", [0.001, 1.0, 10_000.0])
def test_codes_of_any_size_are_legible(size) -> None:
    model = systems.LinearAutoEncoder((1, 8, 8), latent=5)
    with torch.no_grad():
        model.encoder.layers[0].weight.mul_(size)
    assert faults(known_pictures()["codes"]().picture(model, Digits())) == []


def test_tangents_beside_true_ones_are_legible() -> None:
    data = Sprites(size=300)
    for system in (systems.ContractiveAutoEncoder, systems.UndercompleteAutoEncoder):
        made = known_pictures()["tangent_directions"](items=6)
        figure = made.picture(system(data.shape, latent=6), data)
        assert "\n" in figure.get_suptitle()
        assert faults(figure) == []


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.5])
def test_the_score_of_images_is_legible_however_its_plane_lies(shape, sigma) -> None:
    model = systems.LinearAutoEncoder(shape, latent=2)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        # Of unlike lengths, so that the triangle of three is long and thin, or not.
        size = torch.rand(40, 1, 1, 1, generator=generator)
        x = size * torch.rand(40, *shape, generator=generator)
        pair = Pair(x + sigma * torch.randn(x.shape, generator=generator), x, torch.arange(40), x)
        assert faults(score_field(model, pair, sigma)) == []
