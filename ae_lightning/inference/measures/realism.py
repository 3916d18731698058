"""How near samples and reconstructions are to the data, to a network that knows photographs."""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ae_lightning.core.errors import UsageError
from ae_lightning.core.extras import require_packages
from ae_lightning.core.files import open_regular, path_of
from ae_lightning.datamodules.loading.datasets import BatchDraw
from ae_lightning.inference.density_files import kept_density
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import STANDARD, Figure, NotDefined, Settings
from ae_lightning.inference.sampling import PRIOR, codes_by, way_of
from ae_lightning.inference.trained import TrainedModel

KID_SUBSET = 1000  # images


class Images(Dataset[Tensor]):
    """Images of bytes in three colours (3, H, W), each made when it is asked for.

    Args:
        n: how many.
        make: gives the image at a place (C, H, W), in [0, 1].
    """

    def __init__(self, n: int, make: Callable[[int], Tensor]) -> None:
        self.n, self.make = n, make

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, place: int) -> Tensor:
        if not 0 <= place < self.n:
            raise IndexError(place)
        x = (self.make(place).clamp(0, 1) * 255).round().byte().cpu()
        return x.expand(3, *x.shape[1:])


@torch.no_grad()
def realism(trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD) -> list[Figure]:
    """Measure the Fréchet and kernel Inception distances to the examples, by torch-fidelity.

    Of the reconstructions, and of as many samples: of the prior if the codes are held to it, or
    else of the density of codes that `sample` keeps, fitted if the data of training are known.
    They are biased by the number of images: compare them at equal numbers, which the notes tell.

    Raises:
        NotDefined: if no weights of the Inception network are named, or these are no images.
        UsageError: if torch-fidelity is missing, or the file is not that network's weights.

    References:
        | GANs Trained by a Two Time-Scale Update Rule (Heusel et al., 2017)
        | Demystifying MMD GANs (Bińkowski et al., 2018)
    """
    if settings.weights is None:
        raise NotDefined("FID and KID need the weights of torch-fidelity's Inception network.")
    if len(trained.shape) != 3 or trained.shape[0] not in (1, 3) or not trained.model.value_range:
        raise NotDefined(f"FID and KID are of images, not of data of shape {trained.shape}.")
    model, n, (low, high) = trained.model, len(inputs), trained.model.value_range

    def example(place: int) -> Tensor:
        return at(inputs, place, trained.device)

    def unit(x: Tensor) -> Tensor:
        return (x - low) / (high - low)

    makers: dict[str, tuple[Callable[[int], Tensor], str]] = {
        "reconstructions": (lambda place: unit(model.reconstruct(example(place)[None])[0]), "")
    }
    if (by := way_known(trained)) is not None:
        z = codes_by(trained, by, n, settings.seed, settings.batch_size)
        makers["samples"] = lambda place: unit(model.decode(z[place][None]).mean[0]), f", by {by}"
    real = Images(n, lambda place: unit(example(place)))
    figures = list[Figure]()
    with TemporaryDirectory() as folder:
        weights = checked_weights(settings.weights, Path(folder))
        for name, (make, by) in makers.items():
            found = distances(name, Images(n, make), real, weights, settings, trained.device)
            figures += [figure._replace(note=figure.note + by) for figure in found]
    return figures


def way_known(trained: TrainedModel) -> str | None:
    """How `sample` draws codes of a model; None if that is not known here."""
    way = way_of(trained, None)
    known = way == PRIOR or trained.data is not None or kept_density(trained, way) is not None
    return way if known else None


def at(inputs: Inputs, place: int, device: torch.device) -> Tensor:
    """The example at a place among all, as the model takes it: (C, H, W)."""
    for group in inputs.groups:
        if place < len(group.examples):
            draw = BatchDraw(torch.tensor([place]))
            stored, y, draw = group.examples.__getitems__(draw)
            pair = inputs.data.pair(group.split, device, stored, y, draw, corrupted=False)
            x: Tensor = pair.x[0]
            return x
        place -= len(group.examples)
    raise IndexError(place)


def distances(
    name: str, made: Images, real: Images, weights: Path, settings: Settings, device: torch.device
) -> list[Figure]:
    """FID and KID of some images to the real ones."""
    from torch_fidelity import calculate_metrics

    n, subset = len(real), min(KID_SUBSET, len(real))
    found: dict[str, Any] = calculate_metrics(
        input1=made,
        input2=real,
        fid=True,
        kid=True,
        kid_subset_size=subset,
        feature_extractor_weights_path=str(weights),
        batch_size=min(settings.batch_size, 64),
        cuda=device.type == "cuda",
        rng_seed=settings.seed % 2**32,  # NumPy's, which are no larger
        save_cpu_ram=True,  # or it would hand the model to other processes
        verbose=False,
    )
    kid = "kernel_inception_distance"
    fid = found["frechet_inception_distance"]
    spread = float(found[f"{kid}_std"])
    note = f"{n:,} images a side, subsets of {subset:,}; ± their standard deviation"
    return [
        Figure(f"fid_{name}", float(fid), note=f"{n:,} images a side"),
        Figure(f"kid_{name}", float(found[f"{kid}_mean"]), "", spread, note=note),
    ]


def checked_weights(given: str, folder: Path) -> Path:
    """Copy weights to a folder as tensors alone: torch-fidelity would unpickle whatever is there.

    Raises:
        UsageError: if torch-fidelity is missing, or the file holds something else than weights.
    """
    require_packages("the group realism", "fidelity", ["torch_fidelity"])
    file = path_of(given, "weights")
    try:
        with open_regular(file) as opened:
            state = torch.load(opened, map_location="cpu", weights_only=True)
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"weights is {file}: {error.strerror or 'it cannot be read'}.") from None
    except (RuntimeError, UnpicklingError, EOFError, ValueError, KeyError):
        raise UsageError(f"{file} holds no weights, or more than weights.") from None
    if not isinstance(state, dict) or "Conv2d_1a_3x3.conv.weight" not in state:
        raise UsageError(f"{file} holds no weights of torch-fidelity's Inception network.")
    copy = folder / "weights.pth"
    torch.save(state, copy)
    return copy
