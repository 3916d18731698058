"""The base of every network: a map between shapes that the owning autoencoder sets."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.memory import fitting
from ae_lightning.core.parts import Part

Shape = Sequence[int]

ROWS = 2**14  # rows of Jacobians, over the batch, that an exact norm holds in memory at once


def activation_of(name: str) -> nn.Module:
    """Build an activation of torch.nn by its name.

    >>> activation_of("SiLU")
    SiLU()
    """
    mixing = {"GLU", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "LogSoftmax"}
    known = {n: getattr(nn, n) for n in nn.modules.activation.__all__ if n not in mixing}
    if name not in known:
        raise UsageError(
            f"activation {name} is not an elementwise one of torch.nn: {nearest(name, known)}"
        )
    try:
        return known[name]()  # type: ignore[no-any-return]
    except TypeError:
        raise UsageError(f"activation {name} needs arguments: choose an elementwise one.") from None


def slope(a: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """a′(u) of an elementwise map, differentiable if gradients are enabled.

    >>> slope(torch.square, torch.tensor([1.0, 3.0])).detach()
    tensor([2., 6.])
    """
    tracked = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        # A view, so that what a has computed from u before, such as a batch's mean, is constant.
        u = u.view_as(u) if u.requires_grad else u.clone().requires_grad_()
        h = a(u)
        return torch.autograd.grad(h, u, torch.ones_like(h), create_graph=tracked)[0]


def hidden_of(network: "Network", x: Tensor, features: Tensor) -> list[Tensor]:
    """Return the input of each activation, on the way from x to the network's output `features`."""
    if not hasattr(features, "hidden"):
        with torch.enable_grad():
            features = network.forward(x)  # never compiled
    return features.hidden  # type: ignore[attr-defined, no-any-return]


class Network(Part, ABC):
    """A map from inputs to outputs; the autoencoder calls `build` once, with both shapes."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "explicit" not in cls.__dict__:
            cls.explicit = False  # type: ignore[method-assign, assignment]  # it may map otherwise

    @abstractmethod
    def build(self, inputs: Shape, outputs: Shape, mirror: "Network | None" = None) -> None:
        """Create the weights. A decoder is given the encoder as `mirror`."""

    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        """Subtract the mean (*S) of the inputs, and start with the output at its mean."""

    @property
    def affine(self) -> bool:
        """Whether the map is known to be a single affine one."""
        return False

    @property
    def holds_scale(self) -> bool:
        """Whether no weights of this decoder scale back a code that was made smaller."""
        return False

    @property
    def explicit(self) -> bool:
        """Whether `pull_back` is implemented, and so cheaper than autograd's.

        Each subclass says so for itself.
        """
        return False

    def pull_back(self, x: Tensor, features: Tensor, v: Tensor) -> Tensor:
        """vᵀ ∂u/∂x for n vectors v on the first K outputs u: (n, B, K) -> (n, B, D).

        Args:
            features: this network's output at x, which may hold its hidden layers (`hidden_of`).
        """
        raise NotImplementedError

    def squared_gradients(self, x: Tensor, features: Tensor, rows: int) -> Tensor:
        """‖∂u_j/∂x‖² of the first `rows` outputs u_j: (B, rows)."""
        basis = torch.eye(rows, dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
        layers = [x, *hidden_of(self, x, features)]
        each = 4 * sum(layer.nbytes for layer in layers)  # two steps back, each with its product
        chunks = basis.split(fitting(each, max(1, ROWS // len(x)), x.device))
        return torch.cat([self.pull_back(x, features, v).square().sum(2) for v in chunks]).T

    def grid(self, shape: Shape) -> tuple[int, int] | None:
        """The height and width of the code of images of this shape, if it keeps their place.

        It is then channels × height × width, flattened.
        """
        return None

    def atoms(self) -> Tensor:
        """The first weight matrix (H, K), whose columns a code combines."""
        raise UsageError(f"{type(self).__name__} does not name a first weight matrix as its atoms.")

    def tied(self) -> list[nn.Parameter]:
        """The parameters of another network that this one uses as its own."""
        return []
