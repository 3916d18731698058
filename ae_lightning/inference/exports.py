"""Export: a model's parts as programs that need none of this package, or all of its weights."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Final

from ae_lightning.core.errors import UsageError, one_of
from ae_lightning.core.extras import require_packages
from ae_lightning.core.outputs import output_folder, output_path
from ae_lightning.inference.exported_parts import EXPORTABLE, FORMATS, write_part
from ae_lightning.inference.model_cards import write_card
from ae_lightning.inference.trained import TrainedModel, load
from ae_lightning.inference.weight_folders import write_weight_folder

SAFETENSORS: Final = "safetensors"


def export(
    model: str | Path | TrainedModel,
    out: str | Path,
    to: str = "onnx",
    parts: Sequence[str] | None = None,
    force: bool = False,
) -> Path:
    """Write a folder of a model's parts and a card that describes it, and return its path.

    A part as ONNX or as a program of torch.export takes batches of any size, and is compared with
    the model before anything is written. As safetensors, the whole model goes, for `load`.

    Args:
        model: a run, a checkpoint, a folder of weights or a loaded model.
        out: the folder.
        to: onnx, torch or safetensors.
        parts: of encoder, decoder and reconstruct; all, if None.
        force: whether to replace files that are there.

    Raises:
        UsageError: if there is no such model; if a part cannot go, or does not give what the model
            gives to 10⁻⁵; or if a package is missing.
    """
    one_of("to", to, [*FORMATS, SAFETENSORS])
    if to == SAFETENSORS and parts is not None:
        raise UsageError(
            "parts are not for safetensors, which hold the whole model: leave them out."
        )
    if parts is not None and not parts:
        raise UsageError(f"parts are none: expected some of {', '.join(EXPORTABLE)}.")
    for name in parts or ():
        one_of("parts", name, EXPORTABLE)
    if to == "onnx":
        require_packages(to, "onnx", ("onnx", "onnxruntime", "onnxscript"))
    path = output_path(out, force)
    trained = model if isinstance(model, TrainedModel) else load(model)
    with output_folder(path) as folder:
        if to == SAFETENSORS:
            files = write_weight_folder(trained, folder)
        else:
            on_cpu = trained.device.type == "cpu"
            module = trained.model if on_cpu else deepcopy(trained.model).cpu()
            names = dict.fromkeys(parts or EXPORTABLE)
            files = [write_part(module, name, to, folder) for name in names]
        write_card(trained, files, folder)
    return path
