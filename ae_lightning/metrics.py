"""What evaluation reports: pure functions, and the metric that adds them up over a data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics import Metric

from ae_lightning.distributions import kl, kl_per_dimension
from ae_lightning.geometry import squared_jacobian
from ae_lightning.types import ForwardPass

if TYPE_CHECKING:
    from ae_lightning.autoencoder import AutoEncoder

ACTIVE_VARIANCE = 0.01  # Burda et al., 2016: active where Var_x E[z|x] exceeds this
ACTIVE_CODE = 1e-3  # a code element of smaller magnitude counts as zero
MAX_RATES = 128  # the rate of each dimension is reported up to this latent size


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """‖x − y‖² of each example: (B, *S) -> (B,)."""
    return (x - y).square().flatten(1).sum(1)


def psnr(mse: Tensor, value_range: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    r"""Peak signal-to-noise ratio, in decibels: 10 log₁₀ (max − min)²/MSE."""
    return 10 * torch.log10((value_range[1] - value_range[0]) ** 2 / mse)


def ssim(x: Tensor, y: Tensor, value_range: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """Structural similarity of each pair of images (B, C, H, W) of at least 11 × 11 pixels: (B,)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    extent = value_range[1] - value_range[0]
    return structural_similarity_index_measure(x, y, reduction="none", data_range=extent)


class Evaluation(Metric):
    """Means over a data set of all that an autoencoder is judged by.

    Every example counts once, on any number of processes: sums and counts are added across them.

    Args:
        latent: the code's size K.
        terms: the names of the objective's terms.
    """

    full_state_update = False
    measured = ("rate", "mse", "mse_corrupted", "ssim", "l0", "jacobian")

    def __init__(self, latent: int, terms: Iterable[str]) -> None:
        super().__init__()
        self.names = tuple(dict.fromkeys((*terms, *self.measured)))
        for state, size in {"sums": len(self.names), "counts": len(self.names)}.items():
            self.add_state(state, torch.zeros(size), dist_reduce_fx="sum")
        for state in ("rates", "code_sum", "code_square"):
            self.add_state(state, torch.zeros(latent), dist_reduce_fx="sum")
        self.add_state("code_largest", torch.zeros(latent), dist_reduce_fx="max")

    def update(self, model: AutoEncoder, out: ForwardPass, terms: dict[str, Tensor]) -> None:
        """Add a batch, given its forward pass and the batch means of the objective's terms."""
        code = out.q.mean
        means = dict(terms)
        reconstruction = out.p.mean[0]
        if model.posterior.stochastic:
            reconstruction = model.decode(code).mean
            prior = model.prior()
            means["rate"] = kl(out.q, prior, out.z).mean()
            if (rates := kl_per_dimension(out.q, prior)) is not None:
                self.rates += rates.sum(0)
        size = out.x[0].numel()
        means["mse"] = squared_error(reconstruction, out.x).mean() / size
        if out.x_tilde is not out.x:
            means["mse_corrupted"] = squared_error(out.x_tilde, out.x).mean() / size
        if model.value_range is not None and len(model.shape) == 3 and min(model.shape[1:]) >= 11:
            means["ssim"] = ssim(reconstruction, out.x, model.value_range).mean()
        if any(r.penalises_jacobian for r in model.regularizers.values()):
            means["jacobian"] = squared_jacobian(model, out.x).mean()
        means["l0"] = (code.abs() > ACTIVE_CODE).sum(1).float().mean()
        present = self.counts.new_tensor([len(out.x) * (name in means) for name in self.names])
        zero = torch.zeros_like(means["mse"])
        self.sums += present * torch.stack([means.get(name, zero) for name in self.names])
        self.counts += present
        self.code_sum += code.sum(0)
        self.code_square += code.square().sum(0)
        self.code_largest = torch.maximum(self.code_largest, code.abs().amax(0))

    def compute(self) -> dict[str, Tensor]:
        """Return every figure that the model has, by name."""
        means = self.sums / self.counts.clamp(min=1)
        values = {n: m for n, m, c in zip(self.names, means, self.counts, strict=True) if c > 0}
        values["psnr"] = psnr(values["mse"])
        count = self.counts[self.names.index("mse")]
        if "rate" in values:
            values["elbo"] = -(values["distortion"] + values["rate"])
            variance = self.code_square / count - (self.code_sum / count).square()
            values["active_units"] = (variance > ACTIVE_VARIANCE).sum().float()
            if self.rates.any() and len(self.rates) <= MAX_RATES:
                values |= {f"rate_{k}": rate for k, rate in enumerate(self.rates / count)}
        values["dead_units"] = (self.code_largest <= ACTIVE_CODE).sum().float()
        return values
