"""Principal components, angles between subspaces, Gaussian means by quadrature, and orders."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


def pca(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean (D,) of examples (n, D), their covariance's eigenvalues (D,), largest first,
    and its eigenvectors (D, D), in columns."""
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    return mean, values.flip(0), vectors.flip(1)


def largest_angle(A: Tensor, B: Tensor) -> Tensor:
    """Return the largest principal angle between the spans of the columns of A and B (…, D, K),
    in degrees: (…)."""
    Q, P = (torch.linalg.qr(M).Q for M in (A, B))
    # By its sine, because the cosine of a small angle rounds to 1.
    sine = torch.linalg.matrix_norm(Q - P @ (P.mT @ Q), 2)
    return sine.clamp(max=1).asin().rad2deg()  # type: ignore[no-any-return]


def median_angle(found: Tensor, true: Tensor) -> float:
    """Return the median over examples of the largest angle between two tangent spaces
    (B, K, *S), in degrees."""
    return float(largest_angle(*(T.flatten(2).double().mT for T in (found, true))).median())


def gaussian_nodes(n: int, D: int) -> tuple[Tensor, Tensor]:
    """Return points ε (n^D, D) and weights w (n^D,) of Gauss-Hermite quadrature:
    E f(ε) = Σ w f(ε) for ε ~ N(0, I), exactly for polynomials of degree below 2n."""
    points, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(n))
    grid = torch.cartesian_prod(*[points] * D).view(-1, D)
    w = torch.cartesian_prod(*[weights / weights.sum()] * D).view(-1, D).prod(1)
    return grid, w


def order(x: Any, y: Any) -> float:
    """Return the exponent a of y ∝ xᵃ: the slope of a line through log y against log x."""
    return float(np.polyfit(np.log(np.asarray(x)), np.log(np.asarray(y)), 1)[0])
