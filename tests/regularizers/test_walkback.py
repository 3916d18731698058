"""Walkback training against the walk by hand, and against the law of its states."""

import torch

from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import UnitVariance
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers import Walkback
from helpers.closeness import close
from helpers.penalties import batch_of, penalised, penalty_of


def test_it_is_the_mean_distortion_of_x_along_the_model_s_own_walk() -> None:
    model, sigma, x = penalised(likelihood=Gaussian(0.5)), 0.3, batch_of().x
    out = model.propagate(batch_of())
    torch.manual_seed(5)
    penalty = penalty_of(Walkback(sigma=sigma, steps=3), model, out)
    torch.manual_seed(5)
    by_hand, state = [], x
    for _ in range(3):
        r = model.reconstruct(state + sigma * torch.randn_like(x))
        by_hand.append(-torch.distributions.Normal(r, 0.5).log_prob(x).flatten(1).sum(1))
        state = torch.normal(r, torch.full_like(r, 0.5))
    assert close(penalty, sum(by_hand) / 3)


def test_one_step_is_ordinary_denoising() -> None:
    model, sigma = penalised(), 0.3
    out = model.propagate(batch_of())
    torch.manual_seed(5)
    penalty = penalty_of(Walkback(sigma=sigma, steps=1), model, out)
    torch.manual_seed(5)
    corrupted = batch_of()._replace(x_tilde=out.x + sigma * torch.randn_like(out.x))
    assert close(penalty, model.distortion(model.propagate(corrupted)))


def test_a_walk_leaves_the_statistics_of_the_code_to_the_data() -> None:
    model = penalised(posterior=Dirac(UnitVariance()))
    out, code = model.propagate(batch_of()), model.posterior.activation
    before = [buffer.clone() for buffer in code.buffers()]
    penalty_of(Walkback(sigma=2.0), model, out)
    assert all(a.equal(b) for a, b in zip(before, code.buffers(), strict=True))
    assert code.batch[0].equal(out.features.mean(0))
