"""Call compiled networks as they are written, and know of torch.func; needs no Lightning."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ae_lightning.core.private_names import private

private("torch.nn:Module", "_compiled_call_impl")
level: Any = private("torch._C._functorch:maybe_current_level")


def differentiated_by_functions() -> bool:
    """Whether torch.func is at work, under which saved tensors cannot be recomputed."""
    return level() is not None


def compiled_call(module: nn.Module) -> Callable[..., Any] | None:
    """Return what `module.compile` has made the module call, or None.

    torch has no way back from `compile`. A compiled `forward` on the instance would be public, but
    a deep copy of the module would still call the original's.
    """
    return module._compiled_call_impl  # type: ignore[no-any-return]


def set_compiled_call(module: nn.Module, call: Callable[..., Any] | None) -> None:
    """Make a module call what `compiled_call` has returned; as it is written, if None."""
    module._compiled_call_impl = call


def networks(model: Any) -> list[nn.Module]:
    """Return what is compiled of a model."""
    return [model.encoder, model.decoder]


@contextmanager
def uncompiled(model: Any) -> Iterator[None]:
    """Call encoder and decoder as they are written, so that derivatives can be taken of them."""
    calls = [(network, compiled_call(network)) for network in networks(model)]
    compiled = [(network, call) for network, call in calls if call is not None]
    for network, _ in compiled:
        set_compiled_call(network, None)
    try:
        yield
    finally:
        for network, call in compiled:
            set_compiled_call(network, call)
