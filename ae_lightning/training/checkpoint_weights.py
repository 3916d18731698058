"""Whether the weights that a file holds are those of a model; needs no Lightning."""

from collections.abc import Mapping

from torch import Tensor, nn

from ae_lightning.core.errors import UsageError, nearest, printable
from ae_lightning.training.likeness import differs


def check_weights(model: nn.Module, found: Mapping[str, Tensor], source: object) -> None:
    """Refuse weights that are not those of a model: by name, shape, kind, and finite values.

    Raises:
        UsageError: naming the first that is wrong.
    """
    own = model.state_dict()
    wrongs = [f"there is no {name}" for name in own if name not in found]
    for name, tensor in found.items():
        if wrongs:
            break
        if name not in own:
            close = nearest(printable(name, 80), own)
            wrongs.append(f"the model has no {printable(name, 80)}; {close}".rstrip("."))
        elif wrong := differs(own[name], tensor, name):
            wrongs.append(wrong)
    if wrongs:
        raise UsageError(f"{source} does not fit the model: {printable(wrongs[0], 300)}.")
