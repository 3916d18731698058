"""The density of a model's codes, fitted once and kept beside the checkpoint in plain arrays."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypedDict

from ae_lightning.core.errors import UsageError, one_of
from ae_lightning.core.files import UNZIPPING, damage, open_regular, replacing
from ae_lightning.core.randomness import seeded
from ae_lightning.core.untrusted import conform, inside
from ae_lightning.distributions import sample_by_index
from ae_lightning.inference.data import folder_of
from ae_lightning.inference.densities import KINDS, Density
from ae_lightning.inference.inputs import Inputs, open_inputs, thinned
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.training.checkpoint_reading import squeezed
from ae_lightning.training.checkpoint_weights import check_weights

MOST_CODES: Final = 10_000  # that a density is fitted to
MOST_BYTES: Final = 2**31
HEADER: Final = "header"  # of the file's arrays, beside those of the density


class Header(TypedDict):
    """What a density belongs to.

    Args:
        kind: of `KINDS`.
        checkpoint: the digest of the checkpoint whose codes they are.
    """

    kind: str
    checkpoint: str


def density_of(
    trained: TrainedModel, kind: str, data: Sequence[str] = (), batch_size: int = 256
) -> Density:
    """Return a density of a model's codes.

    That of the codes of training is fitted once, and kept beside the checkpoint, unless its image
    files are read otherwise than in training.

    Args:
        kind: mixture, flow or two_stage.
        data: whose codes, as for `open_inputs`; those of the training split, if empty.

    Raises:
        UsageError: if there is no such kind or no such data, or a damaged file is in its place.
    """
    one_of("by", kind, KINDS)
    same = not data and (folder_of(trained) is None or not trained.reading)  # codes as in training
    if same and (kept := kept_density(trained, kind)) is not None:
        return kept
    inputs = open_inputs(trained, data, None if data else "train")
    density = KINDS[kind].fitted(codes(trained, inputs, batch_size))
    if same:
        try:
            write_density(file_of(trained, kind), density, header_of(trained, kind))
        except OSError as error:
            where = file_of(trained, kind)
            warnings.warn(f"the density is not kept in {where}: {error.strerror}", stacklevel=2)
    return density


def kept_density(trained: TrainedModel, kind: str) -> Density | None:
    """Return the density that is kept beside a checkpoint; None if there is none of it.

    Raises:
        UsageError: if a damaged file is in its place.
    """
    if not (file := file_of(trained, kind)).exists():
        return None
    found = read_density(file, header_of(trained, kind), trained.model.latent)
    return None if found is None else found.to(trained.device)


def file_of(trained: TrainedModel, kind: str) -> Path:
    """Where a density is kept."""
    return inside(trained.file.parent, f"{trained.file.stem}.{kind}.npz", "the model")


def header_of(trained: TrainedModel, kind: str) -> Header:
    """What a density of this checkpoint says that it belongs to."""
    return Header(kind=kind, checkpoint=trained.digest)


@torch.no_grad()
def codes(trained: TrainedModel, inputs: Inputs, batch_size: int = 256) -> Tensor:
    """Draw the codes z ~ q(z|x) of examples (N, K): all, or `MOST_CODES` evenly spread."""
    model, found = trained.model, list[Tensor]()
    for batch in thinned(inputs, MOST_CODES).batches(batch_size, trained.device, "Encoding"):
        q = model.encode(batch.pair.x)
        found.append(sample_by_index(q, 1, model.seed, batch.pair.places)[0])
    return torch.cat(found)


def write_density(file: Path, density: Density, header: Header) -> None:
    """Write a density as arrays, sealed.

    Raises:
        OSError: if it cannot be written.
    """
    arrays: dict[str, Any] = {n: v.cpu().numpy() for n, v in density.state_dict().items()}
    arrays[HEADER] = np.array(json.dumps(header))
    with replacing(file, sealed=True) as opened:
        np.savez(opened.file, **arrays)


def read_density(file: Path, expected: Header, latent: int) -> Density | None:
    """Read a density, or return None if it is that of another checkpoint.

    Raises:
        UsageError: if the file is damaged, or holds something else.
    """
    try:
        header, arrays = read_arrays(file)
        if header["kind"] != expected["kind"]:
            raise UsageError(f"{file} holds a {header['kind']}, not a {expected['kind']}.")
        if header != expected:
            return None
        with seeded(0, torch.device("cpu")):
            density = KINDS[expected["kind"]].sketch(latent, arrays)
        check_weights(density, arrays, file)
        density.load_state_dict(dict(arrays))
    except UsageError as error:
        raise UsageError(f"{str(error).rstrip('.')}: remove it, to fit another.") from None
    return density.eval().requires_grad_(False)


def read_arrays(file: Path) -> tuple[Header, Mapping[str, Tensor]]:
    """Read the arrays of a file, unpickling and unpacking nothing, and what they belong to.

    Raises:
        UsageError: if it is damaged, too large, or holds anything but arrays and a header.
    """
    if wrong := damage(file) or squeezed(file):
        raise UsageError(f"{file} is damaged: {wrong}.")
    try:
        with open_regular(file, MOST_BYTES) as opened, np.load(opened, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
            header = json.loads(str(arrays.pop(HEADER)))
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    except (*UNZIPPING, OSError, EOFError, MemoryError, RecursionError) as error:
        raise UsageError(f"{file} cannot be read: {type(error).__name__}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, SyntaxError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{file} holds no density of codes.") from None
    return conform(Header, header, file), tensors
