"""Sample: what a model makes up, in the way that suits it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least, one_of
from ae_lightning.core.randomness import require_seed
from ae_lightning.inference.arrays import given_back
from ae_lightning.inference.chains import chain_of, run_chains
from ae_lightning.inference.data import data_named
from ae_lightning.inference.densities import KINDS, Mixture
from ae_lightning.inference.density_files import density_of
from ae_lightning.inference.inputs import require_read
from ae_lightning.inference.reading import Reading, loaded
from ae_lightning.inference.trained import TrainedModel

PRIOR: Final = "prior"
CHAINS: Final = ("walkback", "langevin")


def sample(
    model: str | Path | TrainedModel,
    *data: str,
    n: int = 64,
    by: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: str = "auto",
    reading: Reading | None = None,
) -> NDArray[np.float32]:
    """Return n samples of a model (n, *S), clamped to the data's range.

    They are means of p(x|z), at draws z of the prior if the model holds its codes to it, or else of
    a mixture of Gaussians that is fitted to the codes of training and kept beside the checkpoint.

    Args:
        model: a run, a checkpoint or a loaded model.
        data: what to fit to in place of the data of training: as for `encode`.
        n: how many.
        by: prior; the density mixture, flow or two_stage; or of a denoising model the chain
            walkback or langevin, which is annealed if it was trained over a range of σ.
        steps: the length of a chain; its own, if None.
        seed: what the draws are a function of.
        batch_size: how many to decode at a time.
        device: auto, cpu, cuda, ….
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model or no such data, or it cannot be sampled by that.
    """
    trained = loaded(model, device, reading)
    by = way_of(trained, by)
    for name, value in {"n": n, "batch_size": batch_size}.items():
        at_least(name, value, 1)
    require_seed(seed)
    if by == PRIOR and (data or trained.reading):
        given = data[0] if data else f"data.{next(iter(trained.reading))}"
        raise UsageError(
            f"{given} is given, and draws of the prior read no data: leave it out, or choose by "
            f"from {', '.join((*KINDS, *CHAINS))}."
        )
    if trained.reading:
        require_read(trained, [data_named(trained, name) for name in data or [None]])
    if by in CHAINS:
        x = run_chains(chain_of(trained, data, batch_size), by, n, steps, seed, batch_size)
        x = x if trained.model.value_range is None else x.clamp(*trained.model.value_range)
    elif steps is not None:
        raise UsageError(f"steps is {steps}: only a chain has steps, {' or '.join(CHAINS)}.")
    else:
        x = trained.drawn(codes_by(trained, by, n, seed, batch_size, data), batch_size)
    return given_back(x, one=False)


def codes_by(
    trained: TrainedModel, by: str, n: int, seed: int, batch_size: int, data: Sequence[str] = ()
) -> Tensor:
    """Draw n codes (n, K) from the prior, or from a density of the codes of data."""
    if by == PRIOR:
        return trained.prior_codes(n, seed)
    return density_of(trained, by, data, batch_size).draw(n, seed)


def way_of(trained: TrainedModel, by: str | None) -> str:
    """Return what to sample by: what is named, or what suits the model.

    Raises:
        UsageError: if there is no such way.
    """
    if by is None:
        return PRIOR if trained.model.held_to_prior else Mixture.kind
    one_of("by", by, (PRIOR, *KINDS, *CHAINS))
    if by == PRIOR and not trained.model.held_to_prior:
        raise UsageError(
            f"by is {PRIOR}, and nothing held the codes of {trained.file} to it, so that its draws "
            f"are no codes: expected one of {', '.join((*KINDS, *CHAINS))}."
        )
    return by
