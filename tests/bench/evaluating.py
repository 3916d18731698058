"""Validation, against a loop by hand that reports the same."""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ae_lightning.datamodules import MNIST
from ae_lightning.metrics import ACTIVE_CODE, ACTIVE_VARIANCE, ssim
from ae_lightning.nn import ConvDecoder, ConvEncoder
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.training.allocator import keep_freed_memory
from helpers.training import quiet_trainer

from .data import mnist_root
from .measure import Case, Goal, alternate, seconds_per_call
from .product import MLP_128

Figures = dict[str, float]


@torch.no_grad()
def by_hand(model: VariationalAutoEncoder, images: Tensor, batch: int) -> Figures:
    """What validation reports of images (N, 1, 28, 28), uint8, at one sample of the code each."""
    s, D = model.likelihood.log_sigma, images[0].numel()
    names = ("distortion", "rate", "mse", "ssim", "l0")
    sums, rates, codes = torch.zeros(len(names)), torch.zeros(model.latent), []
    for x in images.split(batch):
        x = x / 255
        mu, log_sigma = model.encoder(x).chunk(2, 1)
        sigma = log_sigma.exp()
        error = F.mse_loss(model.decoder(mu + sigma * torch.randn_like(mu)), x, reduction="sum")
        rate = (mu.square() + sigma.square() - 1 - 2 * log_sigma) / 2
        reconstruction = model.decoder(mu)
        found = (
            error * (-2 * s).exp() / 2 + len(x) * D * (s + math.log(2 * math.pi) / 2),
            rate.sum(),
            F.mse_loss(reconstruction, x, reduction="sum") / D,
            ssim(reconstruction, x).sum(),
            (mu.abs() > ACTIVE_CODE).sum(),
        )
        sums += torch.stack(found)
        rates += rate.sum(0)
        codes.append(mu)
    code = torch.cat(codes)
    figures = dict(zip(names, (sums / len(images)).tolist(), strict=True))
    figures["elbo"] = -figures["distortion"] - figures["rate"]
    figures["psnr"] = -10 * math.log10(figures["mse"])
    figures["active_units"] = float((code.var(0, correction=0) > ACTIVE_VARIANCE).sum())
    figures["dead_units"] = float((code.abs().amax(0) <= ACTIVE_CODE).sum())
    return figures | {f"rate_{k}": r for k, r in enumerate((rates / len(images)).tolist())}


def validation() -> Goal:
    """`Trainer.validate` on 10,000 images, against a loop by hand without gradients.

    The same figures, structural similarity by the same function; ours draws a code's noise as a
    function of the example, in double precision. In inference mode, as Lightning has it.
    """
    keep_freed_memory()
    goal = Goal("validation", "a loop by hand / validation of 10,000 images")
    with mnist_root() as root:
        data = MNIST(root=str(root), batch_size=MLP_128.batch, val_size=10_000)
        data.setup("validate")
        images, _ = data.sets["val"][torch.arange(10_000)]
        for name, parts in (
            ("mlp", {}),
            ("conv", {"encoder": ConvEncoder(), "decoder": ConvDecoder()}),
        ):
            model = VariationalAutoEncoder((1, 28, 28), 16, **parts).eval()
            trainer = quiet_trainer(None, inference_mode=False)
            ours = partial(trainer.validate, model, data, verbose=False)
            hand = partial(by_hand, model, images, MLP_128.batch)
            rounds = alternate(
                {"hand": seconds_per_call(hand, 1), "ours": seconds_per_call(ours, 1)}
            )
            ratios = rounds.ratios("hand", "ours")
            goal.cases.append(Case(name, ratios, 0.8, foreign=rounds.foreign))
    return goal
