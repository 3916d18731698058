"""Parts of a model as modules of their own, and the formats that they are exported to."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.model import Model

BATCH: Final = 2  # of the examples that a part is traced with
CHECKED: Final = (1, 2, 5)  # sizes of the batches that it is checked on
TOLERANCE: Final = 1e-5  # of the largest value, or of 1 if that is larger

Run = Callable[[Tensor], list[Tensor]]


def code_and_spread(model: Model, x: Tensor) -> tuple[Tensor, ...]:
    """The code f(x) and, of a stochastic posterior, the standard deviations of q(z|x)."""
    features = model.encoder(x)
    code = model.posterior.code(features)
    return (code, model.posterior(features).stddev) if model.posterior.stochastic else (code,)


def mean(model: Model, code: Tensor) -> tuple[Tensor, ...]:
    """The mean of p(x|z)."""
    return (model.decode(code).mean,)


def reconstruction(model: Model, x: Tensor) -> tuple[Tensor, ...]:
    """r(x), the mean of p(x|f(x))."""
    return (model.reconstruct(x),)


class PartOfModel(NamedTuple):
    """What can be exported of a model.

    Args:
        answer: what it computes with the model.
        uses: the modules of the model that it needs.
        takes: its input's name.
        gives: its outputs' names, or more than it has.
    """

    answer: Callable[[Model, Tensor], tuple[Tensor, ...]]
    uses: tuple[str, ...]
    takes: str
    gives: tuple[str, ...]


ENCODING: Final = ("encoder", "posterior")
DECODING: Final = ("decoder", "likelihood")
EXPORTABLE: Final = {
    "encoder": PartOfModel(code_and_spread, ENCODING, "x", ("code", "spread")),
    "decoder": PartOfModel(mean, DECODING, "code", ("mean",)),
    "reconstruct": PartOfModel(reconstruction, ENCODING + DECODING, "x", ("reconstruction",)),
}


class Traced(nn.Module):
    """A part as a module that holds the weights that it needs, and no others."""

    def __init__(self, model: Model, part: PartOfModel) -> None:
        super().__init__()
        kept = deepcopy(model)
        for name, _ in model.named_children():
            if name not in part.uses:
                delattr(kept, name)
        self.model, self.answer = kept, part.answer
        # Weights that a decoder borrows are its own where there is no encoder.
        self.tied = nn.ParameterList(kept.decoder.tied() if "decoder" in part.uses else [])

    def forward(self, value: Tensor) -> tuple[Tensor, ...]:
        return self.answer(self.model, value)


class Format(NamedTuple):
    """A format of programs.

    Args:
        suffix: of its files.
        write: writes a traced program, of these inputs' and outputs' names, to a file.
        read: makes a function of a file.
    """

    suffix: str
    write: Callable[[Any, PartOfModel, Path], None]
    read: Callable[[Path], Run]


def write_onnx(program: Any, part: PartOfModel, file: Path) -> None:
    gives = list(part.gives[: len(program.graph_signature.user_outputs)])
    onnx: Any = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=[part.takes], output_names=gives
    )
    onnx.save(str(file))


def read_onnx(file: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return lambda x: [torch.from_numpy(y) for y in session.run(None, {taken.name: x.numpy()})]


def write_torch(program: Any, part: PartOfModel, file: Path) -> None:
    written = BytesIO()  # since torch ends the process where the disk is full
    torch.export.save(program, written)
    file.write_bytes(written.getbuffer())


def read_torch(file: Path) -> Run:
    module = torch.export.load(file).module()
    return lambda x: list(module(x))


FORMATS: Final = {
    "onnx": Format(".onnx", write_onnx, read_onnx),
    "torch": Format(".pt2", write_torch, read_torch),
}


def write_part(model: Model, name: str, to: str, folder: Path) -> Path:
    """Write a part of a model as a program that takes batches of any size, and check what it gives.

    Raises:
        UsageError: if it cannot be traced or written, or does not give what the model does.
    """
    part, format = EXPORTABLE[name], FORMATS[to]
    module, file = Traced(model, part), folder / f"{name}{format.suffix}"
    batch = {0: torch.export.Dim("batch")}
    with torch.no_grad(), refused(f"the {name} cannot go to {to}"):
        example = (inputs_of(model, part, BATCH),)
        shapes = (batch,)
        program = torch.export.export(module, example, dynamic_shapes=shapes, strict=False)
        format.write(program, part, file)
        run = format.read(file)
        for n in CHECKED:
            x = inputs_of(model, part, n)
            require_equal(run(x), part.answer(model, x), f"its outputs for a batch of {n}")
    return file


def inputs_of(model: Model, part: PartOfModel, n: int) -> Tensor:
    """Inputs of a part, drawn at random: normal, or uniform in the data's range if it has one."""
    generator = torch.Generator().manual_seed(n)
    if part.takes == "code" or model.value_range is None:
        shape = (model.latent,) if part.takes == "code" else model.shape
        return torch.randn(n, *shape, generator=generator)
    low, high = model.value_range
    return low + (high - low) * torch.rand(n, *model.shape, generator=generator)


def require_equal(found: list[Tensor], wanted: tuple[Tensor, ...], what: str) -> None:
    """Raise UsageError if outputs are not those of the model, up to rounding."""
    for one, other in zip(found, wanted, strict=True):
        error = float((one - other).abs().max()) if one.shape == other.shape else torch.inf
        if not error <= TOLERANCE * max(1.0, float(other.abs().max())):
            raise UsageError(f"{what} differ from the model's by {error:.2g}")


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Turn whatever torch and ONNX stumble over into one sentence, and keep them quiet.

    Raises:
        UsageError: what cannot be done, and the first line of why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OSError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"{what}: {printable(lines[0], 240).rstrip('.:')}.") from error
