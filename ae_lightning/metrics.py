"""What evaluation reports: pure functions, and the metric that averages them over a data set."""

import math
from collections.abc import Iterable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import ForwardPass
from ae_lightning.distributions import factorised_kl, kl
from ae_lightning.geometry import squared_jacobian
from ae_lightning.model import Model
from ae_lightning.training.uncompiled import uncompiled

ACTIVE_VARIANCE = 0.01  # Burda et al., 2016: a unit is active if Var_x E[z|x] exceeds this
ACTIVE_CODE = 1e-3  # a code element of smaller magnitude counts as zero
MAX_RATES = 128  # the rate of each dimension is reported up to this latent size
SSIM_SIDE = 11  # the window of structural similarity; an image must be no smaller

Range = tuple[float, float]


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Compute ‖x − y‖² of each example: (B, *S) -> (B,)."""
    return (x - y).square().flatten(1).sum(1)


def psnr(mse: Tensor, value_range: Range = (0.0, 1.0)) -> Tensor:
    r"""Compute the peak signal-to-noise ratio, in decibels: 10 log₁₀ (max − min)²/MSE.

    >>> psnr(torch.tensor(0.01))
    tensor(20.)
    """
    return 10 * torch.log10((value_range[1] - value_range[0]) ** 2 / mse)


def ssim(x: Tensor, y: Tensor, value_range: Range = (0.0, 1.0)) -> Tensor:
    r"""Compute the structural similarity of pairs of images (B, C, H, W), H and W ≥ 11: (B,).

    .. math:: \frac{(2 μ_x μ_y + c_1)(2 σ_{xy} + c_2)}{(μ_x^2 + μ_y^2 + c_1)(σ_x^2 + σ_y^2 + c_2)}

    averaged over Gaussian windows of 11 pixels (σ = 1.5) around every pixel, with the image
    reflected at its edges. It equals torchmetrics' at a fraction of the cost, since the window is
    a product of a row and a column.

    References:
        | Image quality assessment (Wang, Bovik, Sheikh and Simoncelli, 2004)

    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim(x, x)
    tensor([1., 1.])
    """
    extent = value_range[1] - value_range[0]
    c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
    # Not in half precision: σ² is a difference of nearly equal numbers.
    with torch.autocast(x.device.type, enabled=False):
        moments = torch.stack([x, y, x * x, y * y, x * y])
        columns = (moments @ _windows(x.shape[3], x.dtype, x.device)).mT  # (5, B, C, W, H)
        mx, my, xx, yy, xy = (columns @ _windows(x.shape[2], x.dtype, x.device)).unbind()
    vx, vy, vxy = (xx - mx * mx).clamp(min=0), (yy - my * my).clamp(min=0), xy - mx * my
    values = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return values.flatten(1).mean(1)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # a tensor made in it could not be differentiated through later
def _windows(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the Gaussian windows of a line of pixels, as columns: (side, side)."""
    half = SSIM_SIDE // 2
    pixels = torch.eye(side, dtype=dtype, device=device)
    reflected = F.pad(pixels[None], (half, half), mode="reflect")[0]
    distance = torch.arange(-half, half + 1, dtype=dtype, device=device)
    window = (-(distance**2) / (2 * 1.5**2)).softmax(0)
    return reflected.unfold(1, SSIM_SIDE, 1) @ window


def bits_per_dimension(nll: Tensor, x: Tensor | int) -> Tensor:
    r"""Compute the code length in bits per byte of images of D bytes: NLL/(D ln 2) + 8.

    Of bytes as they are, a density can be as large as one likes, and this number as small: they
    must be dequantised, as by a data module's `dequantise`. The 8 bits account for the change of
    scale to [0, 1]. A `Categorical` likelihood is over bytes already: −log₂ p(x)/D is its number.

    Args:
        nll: the negative log densities (B,) or their mean (), in nats.
        x: the images (B, *S) that they are of; or D alone, if they are known to be dequantised.

    Raises:
        UsageError: if x has not been dequantised.

    References:
        | A Note on the Evaluation of Generative Models (Theis, van den Oord and Bethge, 2016)

    >>> bits_per_dimension(torch.tensor(0.0), torch.rand(2, 784))
    tensor(8.)
    """
    if isinstance(x, int):
        return nll / (x * math.log(2)) + 8
    if (255 * x - (255 * x).round()).abs().max() < 1e-3:
        raise UsageError(
            "these images are bytes, which have no density: dequantise them, as by the argument "
            "dequantise of their data."
        )
    return bits_per_dimension(nll, x[0].numel())


def merge_moments(parts: Tensor) -> Tensor:
    r"""Merge counts, means and summed squared deviations of parts of a set: (P, 3, K) -> (3, K).

    Unlike E[z²] − E[z]², this stays accurate for a small variance about a large mean.

    References:
        | Updating Formulae and a Pairwise Algorithm (Chan, Golub and LeVeque, 1979)
    """
    n, mean, M = parts.unbind(1)
    N = n.sum(0)
    joint = (n * mean).sum(0) / N.clamp(min=1)
    return torch.stack([N, joint, (M + n * (mean - joint).square()).sum(0)])


class Evaluation(Metric):
    """Average over a data set everything that an autoencoder is judged by.

    Every example counts once, whatever the batch sizes and the number of processes. A penalty on
    a batch as a whole, such as MMD, is averaged over batches, weighted by their sizes.

    The objective's terms keep their names, and so add up to the loss in every stage. `kl` is
    KL(q(z|x) ‖ p(z)), of which `elbo` is made; `rate` is the penalty of that name, if there is one
    (with free bits it is another number), and otherwise the same. `psnr` is that of the mean
    squared error over the whole set, which is below the mean of the images' own PSNRs.
    `active_units` counts the code elements whose mean varies over the set by more than 0.01
    (Burda et al., 2016), a variance that a unit of little KL can exceed; `dead_units` counts those
    that never exceed 0.001 in magnitude, and `l0` how many of an example's do.

    Args:
        latent: the code's size K.
        terms: the names of the objective's terms.
        value_range: the data's smallest and largest value; if None, PSNR and SSIM are left out.
    """

    full_state_update = False
    measured = ("distortion", "kl", "rate", "mse", "mse_corrupted", "ssim", "l0", "jacobian")
    sums: Tensor  # of every metric over the examples (N,)
    counts: Tensor  # of the examples that have that metric (N,)
    rates: Tensor  # of every dimension (K,)
    moments: Tensor  # count, mean and summed squared deviations of the code (3, K)
    largest: Tensor  # magnitude of every code element (K,)

    def __init__(
        self, latent: int, terms: Iterable[str], value_range: Range | None = (0.0, 1.0)
    ) -> None:
        super().__init__()
        self.value_range = value_range
        self.names = tuple(dict.fromkeys((*terms, *self.measured)))
        for state in ("sums", "counts"):
            self.add_state(state, torch.zeros(len(self.names)), dist_reduce_fx="sum")
        self.add_state("rates", torch.zeros(latent), dist_reduce_fx="sum")
        self.add_state("moments", torch.zeros(3, latent), dist_reduce_fx=merge_moments)
        self.add_state("largest", torch.zeros(latent), dist_reduce_fx="max")

    def update(
        self, model: Model, out: ForwardPass, terms: dict[str, Tensor], counts: Tensor | bool = True
    ) -> None:
        """Add a batch, given its forward pass and the batch means of the objective's terms.

        Args:
            counts: whether the batch counts; one that does not only sets the precision of the
                sums, so that it is the same in every process.
        """
        figures = {"distortion": model.distortion(out).mean()} if "distortion" not in terms else {}
        code = model.posterior.code(out.features)
        figures |= self._figures(model, out, code, counts) | terms
        present = self.counts.new_tensor([len(out.x) * (name in figures) for name in self.names])
        present = present * counts
        zero = torch.zeros_like(figures["mse"])
        means = torch.stack([figures.get(name, zero) for name in self.names])
        # Not in place, so that a sum takes on the model's precision.
        self.sums = self.sums + present * means.detach()
        self.counts = self.counts + present
        code = code.detach()
        mean = code.mean(0)
        moments = counts * torch.stack(
            [torch.full_like(mean, len(code)), mean, (code - mean).square().sum(0)]
        )
        self.moments = merge_moments(torch.stack([self.moments.to(moments), moments]))
        self.largest = torch.maximum(self.largest.to(code), counts * code.abs().amax(0))

    def _figures(
        self, model: Model, out: ForwardPass, code: Tensor, counts: Tensor | bool
    ) -> dict[str, Tensor]:
        x, figures = out.x, {}
        reconstruction = out.p.mean[0]
        if model.posterior.stochastic:
            reconstruction = model.decode(code).mean
            prior = model.prior()
            rates = factorised_kl(out.q, prior)
            figures["kl"] = (kl(out.q, prior, out.z) if rates is None else rates.sum(1)).mean()
            figures["rate"] = figures["kl"]
            if rates is not None:
                self.rates = self.rates + counts * rates.detach().sum(0)
        figures["mse"] = squared_error(reconstruction, x).mean() / x[0].numel()
        clean = out.x_tilde is x
        corruption = x.new_zeros(()) if clean else squared_error(out.x_tilde, x).mean()
        figures["mse_corrupted"] = corruption / x[0].numel()
        if self.value_range is not None and x.dim() == 4 and min(x.shape[2:]) >= SSIM_SIDE:
            figures["ssim"] = ssim(reconstruction, x, self.value_range).mean()
        if any(r.penalises_jacobian for r in model.regularizers.values()):
            with torch.autocast(x.device.type, enabled=False), uncompiled(model):
                figures["jacobian"] = squared_jacobian(model, x).mean()
        figures["l0"] = (code.abs() > ACTIVE_CODE).sum(1).to(code.dtype).mean()
        return figures

    def compute(self) -> dict[str, Tensor]:
        """Return every metric that this model has, by name."""
        means = self.sums / self.counts.clamp(min=1)
        values = {n: m for n, m, c in zip(self.names, means, self.counts, strict=True) if c > 0}
        if not values:
            return {}
        if self.value_range is not None:
            values["psnr"] = psnr(values["mse"], self.value_range)
        if values["mse_corrupted"] == 0:  # the data are clean
            del values["mse_corrupted"]
        count, _, squares = self.moments
        if "kl" in values:
            values["elbo"] = -(values["distortion"] + values["kl"])
            values["active_units"] = (squares / count > ACTIVE_VARIANCE).sum().float()
            if self.rates.any() and len(self.rates) <= MAX_RATES:
                values |= {f"rate_{k}": rate for k, rate in enumerate(self.rates / count)}
        values["dead_units"] = (self.largest <= ACTIVE_CODE).sum().float()
        return values
