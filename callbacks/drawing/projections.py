"""Codes of more than two dimensions in a plane: what is near, or what varies most."""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError

from .vectors import plane

Points = NDArray[np.float32]
Method = Literal["tsne", "pca", "umap"]
NEIGHBOURS: Final = 10  # by which a map is judged


class Map(NamedTuple):
    """Codes in a plane: their coordinates (B, 2), how they were found, and the axes' names."""

    points: Points
    how: str
    names: tuple[str, str]
    measured: bool  # whether distances have the code's unit


def in_plane(code: Tensor, by: Method) -> Map:
    """Place codes (B, K) in a plane: as they are if K ≤ 2, and otherwise by a projection."""
    K = code.shape[1]
    if K == 1:
        beside = torch.linspace(0, 1, len(code))[:, None]
        points = torch.cat([code, beside], dim=1).numpy()
        return Map(points, "the code itself", ("z0", "place in the sample"), True)
    if K == 2:
        return Map(code.numpy(), "the code itself", ("z0", "z1"), True)
    return PROJECTIONS[by](code)


def tsne(code: Tensor) -> Map:
    """Keep neighbours together.

    References:
        | Visualizing Data using t-SNE (van der Maaten and Hinton, 2008)
    """
    from sklearn.manifold import TSNE

    if len(code) < 4 or not bool(code.var(0).sum() > 0):
        return pca(code)  # there are no neighbours to keep
    perplexity = min(30.0, (len(code) - 1) / 3)
    fitted = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=500, n_jobs=1)
    return nearness(fitted.fit_transform(standard(code)), code, "t-SNE")


def umap(code: Tensor) -> Map:
    """Keep neighbours together.

    Raises:
        UsageError: if umap-learn is not installed.

    References:
        | UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018)
    """
    try:
        from umap import UMAP
    except ImportError:
        raise UsageError("umap needs the package umap-learn: pip install umap-learn") from None
    return nearness(UMAP(random_state=0, n_jobs=1).fit_transform(standard(code)), code, "UMAP")


def pca(code: Tensor) -> Map:
    """Project onto the two leading principal directions."""
    mean, V = plane(code)
    points = (code - mean) @ V.T
    shares = points.var(0, unbiased=False) / code.var(0, unbiased=False).sum().clamp(min=1e-12)
    first, second = (f"principal direction ({share:.0%} of the variance)" for share in shares)
    how = f"PCA, {float(shares.sum()):.0%} of the variance"
    return Map(points.numpy(), how, (f"first {first}", f"second {second}"), True)


PROJECTIONS: Final[dict[str, Callable[[Tensor], Map]]] = {"tsne": tsne, "pca": pca, "umap": umap}


def standard(code: Tensor) -> Points:
    """Codes of mean 0 and mean variance 1, so that their unit does not matter."""
    centred = code - code.mean(0)
    return (centred / centred.square().mean().sqrt().clamp(min=1e-30)).numpy()


def nearness(points: Points, code: Tensor, how: str) -> Map:
    """A map of which only nearness means something, and how much of that is true."""
    from sklearn.manifold import trustworthiness

    near = min(NEIGHBOURS, (len(code) - 1) // 2)
    trusted = float(trustworthiness(standard(code), points, n_neighbors=near))
    names = ("axes without a unit: only who is near whom counts", "")
    return Map(
        np.asarray(points, np.float32), f"{how}, trustworthiness {trusted:.2f}", names, False
    )


def agreement(code: Tensor, y: Tensor) -> float:
    """The share of codes (B, K) whose nearest neighbour has their label y (B,)."""
    apart = torch.cdist(code, code).fill_diagonal_(torch.inf)
    return float((y[apart.argmin(1)] == y).float().mean())
