"""Rates and curves are drawn as they were logged."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from ae_lightning.callbacks import curves, kl_bars, kl_per_dimension
from ae_lightning.callbacks.curves import mirrored
from ae_lightning.callbacks.report.history import best_step, read_history
from ae_lightning.core.errors import UsageError
from ae_lightning.priors import GaussianMixture
from helpers.pictures import HISTORY, affine, close, examples


def test_bars_are_the_rates_from_early_to_late_the_largest_first() -> None:
    rates = torch.tensor([[3.0, 1.0, 0.2], [2.0, 4.0, 0.001]])
    figure = kl_bars(rates, torch.tensor([10, 20]))
    axes = figure.axes[0]
    heights = torch.tensor([p.get_height() for p in axes.patches]).view(2, 3)
    assert close(heights, rates[:, [1, 0, 2]])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["z1", "z0", "z2"]
    assert axes.get_title("left") == "Rate by dimension: 6.0 nats; 2 of 3 above 0.01"
    early, late = (min(p.get_x() for p in list(axes.patches)[i : i + 3]) for i in (0, 3))
    assert early < late
    assert figure.axes[1].get_ylabel() == "optimizer step"


def test_rates_are_those_logged_or_else_those_of_the_examples() -> None:
    model, x = affine(), examples()
    q = model.encode(x)
    exact = torch.distributions.kl_divergence(q.base_dist, Normal(0.0, 1.0)).mean(0)
    now = kl_per_dimension(model, x)
    heights = torch.tensor([p.get_height() for p in now.axes[0].patches])
    assert close(heights, exact.sort(descending=True).values.detach())
    logged = {"val/rate_0": [(5, 1.0), (9, 2.0)], "val/rate_1": [(5, 0.5), (9, 0.25)]}
    bars = kl_per_dimension(model, x, logged).axes[0].patches
    assert [p.get_height() for p in bars] == [1.0, 0.5, 2.0, 0.25]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: affine(stochastic=False), "a point mass has no rate"),
        (lambda: affine(prior=GaussianMixture(2)), "GaussianMixture is not"),
    ],
)
def test_a_rate_without_parts_is_refused(model, said) -> None:
    with pytest.raises(UsageError, match=said):
        kl_per_dimension(model(), examples())


def test_curves_show_every_term_raw_and_weighted_and_the_weighted_add_up() -> None:
    figure = curves(HISTORY, {"rate": 0.5, "l1": 0.1})
    panels = {axes.get_title("left"): axes for axes in figure.axes if axes.get_visible()}
    names = ["loss (nats)", "distortion (nats)", "l1", "rate (nats)", "weights", "ELBO (nats)"]
    assert list(panels) == names
    total = np.zeros(3)
    for title, name in (("distortion (nats)", "distortion"), ("rate (nats)", "rate"), ("l1", "l1")):
        lines = [line.get_xydata() for line in panels[title].lines]
        assert np.array_equal(lines[0], HISTORY[f"train/{name}"])
        total += lines[-1][:, 1]
    assert np.allclose(total, [12.0, 11.0, 10.0])
    loss, val = (line.get_xydata() for line in panels["loss (nats)"].lines)
    assert np.array_equal(loss, HISTORY["train/loss"])
    assert np.array_equal(val, HISTORY["val/loss"])
    assert np.array_equal(panels["weights"].lines[0].get_xydata(), HISTORY["train/rate_weight"])
    with pytest.raises(UsageError, match=r"metrics\.csv"):
        curves({})


def test_history_is_read_as_it_was_written_up_to_a_torn_row(tmp_path) -> None:
    assert read_history(tmp_path) == {}
    text = "epoch,step,train/loss,val/loss\n0,4,1.5,\n0,4,,2.5\n1,9,nan,\n1,9,0.5,\n1,1"
    (tmp_path / "metrics.csv").write_text(text)
    assert read_history(tmp_path) == {"train/loss": [(4, 1.5), (9, 0.5)], "val/loss": [(4, 2.5)]}


def titles(figure) -> list[str]:
    return [axes.get_title("left") for axes in figure.axes]


def test_the_elbo_is_left_out_where_it_mirrors_the_loss() -> None:
    loss = {"train/loss": [(1, 3.0), (2, 2.0)], "val/loss": [(1, 3.5), (2, 2.5)]}
    mirror = loss | {"val/elbo": [(1, -3.5), (2, -2.5)]}
    assert titles(curves(mirror)) == ["loss (nats)"]
    assert titles(curves(loss | {"val/elbo": [(1, -3.5), (2, -2.0)]}))[1] == "ELBO (nats)"
    assert mirrored({}) is False


def test_the_best_validation_is_marked_in_every_panel_and_named() -> None:
    figure = curves(HISTORY, {"rate": 0.5}, best=2)
    for axes in figure.axes:
        assert axes.lines[-1].get_xdata() == [2, 2]
    (key,) = figure.legends
    assert key.get_texts()[-1].get_text() == "best validation, step 2"
    history = {"val/objective": [(1, 3.0), (5, 1.0), (9, 2.0)], "val/psnr": [(1, 9.0), (5, 11.0)]}
    assert best_step(history) == 5
    assert best_step(history, "val/psnr", "max") == 5
    assert best_step(history, "val/mse") is None


def test_no_panel_is_cut_without_a_word() -> None:
    steep = [(1, 1000.0), *((s, 20.0 - s / 10) for s in range(20, 101, 10))]
    gentle = [(s, 100.0 - s) for s in range(1, 101, 10)]
    cut = curves({"train/loss": steep}).axes[0]
    assert cut.get_ylim()[1] < 30
    assert [t.get_text() for t in cut.texts] == ["↑ from 1000"]
    whole = curves({"train/loss": gentle}).axes[0]
    assert whole.get_ylim()[0] < 9 < 99 < whole.get_ylim()[1]
    assert not whole.texts
    rising = curves({"train/loss": [(s, -v) for s, v in steep]}).axes[0]
    assert [t.get_text() for t in rising.texts] == ["↓ from -1000"]
