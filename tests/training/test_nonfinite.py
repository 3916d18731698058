"""A loss or gradient that is not finite ends training before it reaches the weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from ae_lightning import NonFiniteError, Regularizer, UndercompleteAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.datamodules import Manifold
from ae_lightning.nn import MLP
from ae_lightning.schedules import Constant
from ae_lightning.training import nonfinite
from ae_lightning.training.nonfinite import NonFiniteGuard, magnitude
from ae_lightning.training.private import can_skip
from helpers.training import fit

STEP = 5  # in which things go wrong


class Broken(Regularizer):
    """A penalty whose value, or whose gradient, is not finite from `step` on."""

    def __init__(self, weight: float = 1.0, value: str = "nan", step: int = STEP) -> None:
        super().__init__(weight)
        self.value, self.step = value, step

    def forward(self, model: Any, out: Any) -> Tensor:
        total = out.z.square().sum()
        if model.clock.step + 1 < self.step or not model.training:
            return 0 * total
        if self.value == "gradient":
            # The root's slope at 0 is infinite, and its value there is 0.
            return (total * 0).sqrt()
        return total * float(self.value)


class LastLayerOnly(Regularizer):
    """A finite penalty whose gradient overflows in one parameter alone, and on no way to others."""

    def forward(self, model: Any, out: Any) -> Tensor:
        (bias,) = [p for n, p in model.named_parameters() if n == "decoder.layers.0.bias"]
        return (bias.sum() * 0).sqrt()


def model(**regularizers: Regularizer) -> UndercompleteAutoEncoder:
    """A small model, whose learning rate does not depend on how long it will be trained."""
    small = {"encoder": MLP(widths=(4,)), "decoder": MLP(widths=(4,)), "lr_schedule": Constant()}
    return UndercompleteAutoEncoder(
        (2,), latent=1, regularizers=regularizers, value_range=None, **small
    )


def train(net: Any, folder: Path, data: Manifold | None = None, **options: Any) -> Trainer:
    data = data or Manifold(size=200, batch_size=16)
    return fit(net, data, folder, **{"max_steps": 9} | options)


def finite(net: nn.Module) -> bool:
    return all(p.isfinite().all() for p in net.parameters())


@pytest.fixture(params=["read at once", "left to the optimizer"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a step is kept from the weights: the latter as on a GPU, where reading is put off."""
    if request.param == "left to the optimizer":
        monkeypatch.setattr(nonfinite, "leaves_out", lambda optimizer, _: can_skip(optimizer))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_term_the_step_and_the_checkpoint_are_named(
    tmp_path: Path, value: str, accumulate: int
) -> None:
    net = model(slow=Broken(value=value))
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, save_last=True)
    options = {"callbacks": [saver], "enable_checkpointing": True}
    with pytest.raises(NonFiniteError, match=rf"^slow is {value} in step {STEP} ") as raised:
        train(net, tmp_path, accumulate_grad_batches=accumulate, **options)
    assert "distortion" not in str(raised.value)
    assert f"go back to {saver.last_model_path}" in str(raised.value)
    assert net.trainer.global_step == STEP - 1
    assert finite(net)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("interval", [1, 4, 100])
@pytest.mark.parametrize("value", ["nan", "gradient"])
def test_weights_are_those_of_a_training_that_ended_before_the_step(
    tmp_path: Path, interval: int, value: str
) -> None:
    """… however late it is noticed: at a logging step, before a validation, or at the end."""
    net, whole = model(slow=Broken(value=value)), model(slow=Broken(step=1000))
    whole.load_state_dict(net.state_dict())
    with pytest.raises(NonFiniteError, match=f"in step {STEP} "):
        train(net, tmp_path, log_every_n_steps=interval)
    train(whole, tmp_path, max_steps=STEP - 1)
    for p, q in zip(net.parameters(), whole.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.usefixtures("way")
def test_nothing_is_saved_between_the_step_and_its_notice(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1)
    options = {"callbacks": [saver], "enable_checkpointing": True, "log_every_n_steps": 100}
    with pytest.raises(NonFiniteError, match=f"^slow is nan in step {STEP} "):
        train(model(slow=Broken()), tmp_path, **options)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["epoch=0-step=3.ckpt"]


@pytest.mark.usefixtures("way")
def test_a_gradient_that_is_not_finite_under_a_finite_loss_is_named(tmp_path: Path) -> None:
    net = model(slow=Broken(value="gradient"))
    with pytest.raises(NonFiniteError, match=rf"^the gradient of encoder\.\S+ is not .* {STEP} "):
        train(net, tmp_path)
    assert finite(net)


@pytest.mark.usefixtures("way")
def test_a_gradient_in_one_parameter_alone_is_found(tmp_path: Path) -> None:
    net = model(one=LastLayerOnly())
    with pytest.raises(NonFiniteError, match=r"^the gradient of decoder\.layers\.0\.bias is not"):
        train(net, tmp_path)
    assert finite(net)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("row", [0, 40])
def test_the_distortion_is_named_where_the_data_are_to_blame(tmp_path: Path, row: int) -> None:
    net, data = model(), Manifold(size=200, batch_size=16)
    data.setup()
    order = [i for pair in data.train_dataloader() for i in pair.places.tolist()]
    data.sets["train"].x[order[row]] = math.nan
    where = f"distortion is nan in step {row // 16 + 1} .*no checkpoint yet"
    with pytest.raises(NonFiniteError, match=where):
        train(net, tmp_path, data)
    assert finite(net)


@pytest.mark.usefixtures("way")
def test_a_gradient_scaler_may_skip_steps(tmp_path: Path) -> None:
    """Its first scale overflows by design; only the loss is watched."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    net = model()
    trainer = train(net, tmp_path, plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    assert trainer.global_step == 9
    assert scaler.get_scale() < 2.0**126  # steps were skipped
    assert finite(net)


@pytest.mark.usefixtures("way")
def test_large_finite_gradients_are_no_error() -> None:
    """Their sum overflows, which is looked into before anything is said."""
    net = model()
    guard = NonFiniteGuard()
    for p in net.parameters():
        p.grad = torch.full_like(p, 3e38)
    assert not math.isfinite(magnitude([p.grad for p in net.parameters()]))
    guard.note({"loss": torch.tensor(1.0)})
    guard.check(net, torch.optim.SGD(net.parameters()), scaled=False)


@pytest.mark.usefixtures("way")
def test_the_command_line_says_it_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["--config", "undercomplete", "--config", "manifold", "--data.size", "400"]
    broken = ["--model.regularizers.slow", f"{__name__}.Broken", "--checkpoints.every_n_steps", "2"]
    gaussian = ["--model.likelihood", "Gaussian"]
    assert main(["fit", *args, *broken, *gaussian, "--run", "a"]) == 1
    said = capsys.readouterr()
    (line,) = [x for x in said.err.splitlines() if x.startswith("ae-lightning: ")]
    assert f"slow is nan in step {STEP} " in line
    assert "go back to a/checkpoints/step-00000004.ckpt" in line
    assert "ae-lightning fit --run a --resume" in line
    assert sorted(p.name for p in Path("a/checkpoints").glob("step-*")) == [
        "step-00000002.ckpt",
        "step-00000004.ckpt",
    ]
