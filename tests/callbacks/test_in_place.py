"""Pictures of residual networks, and of codes that keep their place."""

import numpy as np
import pytest
import torch

from ae_lightning import systems
from ae_lightning.callbacks.kl_per_dimension import kl_maps
from ae_lightning.callbacks.latent_traversal import latent_traversal
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.core.errors import UsageError
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits
from ae_lightning.nn import ResidualDecoder, ResidualEncoder
from helpers.pictures import HISTORY, labels

SUITABLE = {
    *("curves", "reconstructions", "prior_samples", "latent_traversal", "interpolation", "codes"),
    *(
        "kl_per_dimension",
        "jacobian_spectrum",
        "tangent_directions",
        "contraction_curve",
        "filters",
    ),
}


def vae(spatial: bool) -> systems.VariationalAutoEncoder:
    torch.manual_seed(0)
    encoder = ResidualEncoder(width=4, spatial=spatial)
    return systems.VariationalAutoEncoder((1, 8, 8), 32, encoder, ResidualDecoder(width=4)).eval()


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("name", sorted(SUITABLE))
def test_a_residual_network_has_its_pictures_before_it_is_trained(name, spatial, tmp_path) -> None:
    made = known_pictures()[name](items=24)
    made.picture(vae(spatial), Digits(corruption=GaussianNoise(0.2)), HISTORY, tmp_path / name)
    assert (tmp_path / f"{name}.png").stat().st_size > 2000


def test_no_other_picture_suits_it() -> None:
    for name in known_pictures().keys() - SUITABLE:
        with pytest.raises(UsageError):
            known_pictures()[name]().picture(vae(True), Digits(), HISTORY)


def test_a_traversal_says_where_a_dimension_lies() -> None:
    figure = latent_traversal(vae(True), torch.rand(4, 1, 8, 8), dims=[22])
    assert labels(figure)[0].startswith("z22 (1, 1, 2)  ")


def test_rates_in_place_are_a_map_for_each_channel_the_greatest_first() -> None:
    rates = torch.zeros(3, 4, 5)
    rates[2, 1, 3], rates[0, 0, 0] = 2.0, 0.5
    axes = kl_maps(rates).axes[0]
    shown = torch.as_tensor(np.asarray(axes.images[0].get_array())).view(4, -1)
    assert shown.shape == (4, 3 * 6 - 1)
    assert (shown[1, 3], shown[0, 6]) == (1.0, 0.25)
    assert axes.get_title("left") == "Rate in place: 2.5 nats, white is 2"
    assert [t.get_text() for t in axes.texts[:3]] == ["2: 2.0", "0: 0.5", "1: 0.0"]
