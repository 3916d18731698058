"""Every system has the pictures that suit it; reconstructions are those of the model."""

from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning import systems
from ae_lightning.callbacks import observing, reconstructions
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits, Manifold
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.regularizers import Rate
from helpers.pictures import HISTORY, affine, close, drawn, examples, f, g, labels, pair

MINE = [
    *("curves", "reconstructions", "prior_samples", "latent_traversal", "latent_manifold"),
    *("interpolation", "codes", "kl_per_dimension", "filters", "activation_histogram", "l0_error"),
]


def test_reconstructions_show_clean_corrupted_reconstructed_and_error() -> None:
    model = affine(regularizers={"rate": Rate()})
    x = examples(5)
    figure = reconstructions(model, pair(x, x + 1))
    assert labels(figure) == ["clean", "corrupted", "reconstructed", "error", "samples"]
    rows = drawn(figure, 5, 5)[:, :, :1]
    r = g(model, f(model, x + 1))
    assert close(rows[0], x)
    assert close(rows[1], x + 1)
    assert close(rows[2], r)
    assert f"{float((r - x).square().mean()):.4f}" in figure.axes[0].get_title("left")
    red, _, blue = drawn(figure, 5, 5)[3].mean((2, 3)).T  # by the mean sign of the error
    assert ((red > blue) == ((r - x).mean((1, 2, 3)) > 0)).float().mean() > 0.7
    with observing(model):
        assert close(rows[4], model.sample(5))
    assert labels(reconstructions(affine(stochastic=False), pair(x)))[1:] == [
        "reconstructed",
        "error",
    ]


SYSTEMS = (
    *("LinearAutoEncoder", "UndercompleteAutoEncoder", "SparseAutoEncoder"),
    *("ContractiveAutoEncoder", "DenoisingAutoEncoder", "StochasticAutoEncoder"),
    *("VariationalAutoEncoder", "ImportanceWeightedAutoEncoder"),
)
SPARSE = {"SparseAutoEncoder": {"activation_histogram", "l0_error"}}
SPARSE |= {"ContractiveAutoEncoder": {"activation_histogram"}}
HELD, STOCHASTIC = {"prior_samples"}, {"kl_per_dimension"}
ANY = {"curves", "reconstructions", "latent_traversal", "interpolation", "codes"}


@pytest.mark.parametrize("latent", [2, 5])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_the_pictures_that_suit_it_and_refuses_the_others(
    system, latent, tmp_path
) -> None:
    noise = GaussianNoise(0.2) if system == "DenoisingAutoEncoder" else None
    data = Digits(corruption=noise)
    model = getattr(systems, system)((1, 8, 8), latent=latent)
    suitable = ANY | {"filters"} | SPARSE.get(system, set())
    suitable |= STOCHASTIC if model.posterior.stochastic else set()
    suitable |= HELD if model.held_to_prior else set()
    suitable |= {"latent_manifold"} if latent == 2 else set()
    for name in MINE:
        made = known_pictures()[name](items=24, **({"start": None} if "trav" in name else {}))
        if name not in suitable:
            with pytest.raises(UsageError):
                made.picture(model, data, HISTORY)
            continue
        made.picture(model, data, HISTORY, tmp_path / name)
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert image.min() < 100 < 200 < image.max()
        assert image.shape[1] < 1100


@pytest.mark.parametrize("latent", [2, 3])
@pytest.mark.parametrize("system", ["VariationalAutoEncoder", "DenoisingAutoEncoder"])
def test_vectors_are_drawn_as_points_and_lines(system, latent) -> None:
    data = Manifold(size=400, corruption=GaussianNoise(0.1))
    others = {"likelihood": Gaussian(0.1), "value_range": None}
    model = getattr(systems, system)((2,), latent=latent, **others)
    suitable = ANY | (STOCHASTIC if model.posterior.stochastic else set())
    suitable |= HELD if model.held_to_prior else set()
    suitable |= {"latent_manifold"} if latent == 2 else set()
    for name in MINE:
        made = known_pictures()[name]()
        if name in suitable:
            assert made.picture(model, data, HISTORY).axes
        else:
            with pytest.raises(UsageError):
                made.picture(model, data, HISTORY)


FEW_SHAPES = [(1, 1, 1), (2, 4, 4), (3, 5, 9), (1,), (2,), (5,)]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("shape", FEW_SHAPES, ids=str)
def test_every_picture_of_few_examples_and_odd_shapes_is_drawn_or_says_why_not(shape, n) -> None:
    scale = None if len(shape) == 1 else (0.0, 1.0)
    model = systems.VariationalAutoEncoder(shape, 2, MLP([4]), MLP([4]), value_range=scale)
    x = torch.rand(n, *shape)
    few = Pair(x + 0.1 * torch.randn_like(x), x, torch.arange(n), torch.arange(n))
    data = SimpleNamespace(
        corruption=GaussianNoise(0.1),
        setup=lambda: None,
        sets={"val": x},
        pairs=lambda split, at: Pair(*(t[at] for t in few)),
    )
    for kind in known_pictures().values():
        with suppress(UsageError):  # one sentence, and nothing else
            assert kind().picture(model, data, HISTORY).axes
