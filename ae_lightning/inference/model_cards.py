"""The card of an exported model: what it takes and gives, how good it is, what it was made of."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from ae_lightning.core.errors import printable
from ae_lightning.core.files import sha256_of, write_text
from ae_lightning.inference.exported_parts import EXPORTABLE, FORMATS
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.inference.weight_folders import at_home, versions

CARD: Final = "README.md"
HEAD: Final = "---\nlibrary_name: ae-lightning\ntags: [autoencoder, pytorch]\n---\n"


def write_card(trained: TrainedModel, files: Iterable[Path], folder: Path) -> None:
    """Write the card of a model whose files lie in a folder."""
    write_text(folder / CARD, card(trained, files))


def card(trained: TrainedModel, files: Iterable[Path]) -> str:
    """The card of a model, as Markdown."""
    config = trained.config or {"model": trained.model.record, "data": trained.data}
    records = {name: config.get(name) or {} for name in ("model", "data")}
    system, data = (last_name(record) for record in records.values())
    rows = [*inputs(trained), *composition(trained), ("trained for", f"{trained.step:,} steps")]
    figures = [(name, f"{value:.6g}") for name, value in trained.figures.items()]
    digests = [(file.name, f"{signature(file)}sha256 `{sha256_of(file)}`") for file in files]
    made_from = (f"{trained.file.name} (the source)", f"sha256 `{trained.digest}`")
    text = yaml.safe_dump(
        at_home(config), sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    sections = [
        HEAD,
        f"# {system or 'Autoencoder'}" + f" of {data}" * bool(data) + "\n",
        table("what", "value", rows),
        "## Files\n",
        table("file", "content", [*digests, made_from]),
        *(["## Validation\n", table("figure", "value", figures)] if figures else []),
        "## Versions\n",
        table("package", "version", versions().items()),
        "## Config\n",
        f"```yaml\n{text}```\n",
    ]
    return "\n".join(sections)


def inputs(trained: TrainedModel) -> list[tuple[str, str]]:
    """What the model takes: size, channels, scaling and classes."""
    shape, limits = trained.shape, trained.model.value_range
    rows = [("input", f"x: float32, (batch, {', '.join(map(str, shape))})")]
    if len(shape) == 3:
        rows += [("size", f"{shape[1]} × {shape[2]} pixels"), ("channels", str(shape[0]))]
    if limits is None:
        rows.append(("scaling", "none: values of any size"))
    else:
        rows.append(("scaling", "[{:g}, {:g}]: bytes divided by 255".format(*limits)))
    if trained.classes:
        rows.append(("classes", ", ".join(printable(name, 60) for name in trained.classes)))
    return rows


def composition(trained: TrainedModel) -> list[tuple[str, str]]:
    """What the model is composed of."""
    model = trained.model
    parts = (model.encoder, model.posterior, model.decoder, model.likelihood, model.prior)
    names = ("encoder", "posterior", "decoder", "likelihood", "prior")
    penalties = [f"{name}: {type(r).__name__}" for name, r in model.regularizers.items()]
    return [
        ("code", f"{model.latent} values"),
        *((name, type(part).__name__) for name, part in zip(names, parts, strict=True)),
        ("penalties", ", ".join(penalties) or "none"),
    ]


def signature(file: Path) -> str:
    """What a program takes and gives, if a file is one."""
    if file.suffix not in (format.suffix for format in FORMATS.values()):
        return ""
    part = EXPORTABLE[file.stem]
    return f"{part.takes} → {', '.join(part.gives)}; "


def last_name(record: Any) -> str:
    """The class that a record names, without its module."""
    return str(record.get("class_path", "")).rpartition(".")[2]


def table(left: str, right: str, rows: Iterable[tuple[str, str]]) -> str:
    """Two columns of Markdown."""
    lines = [f"| {left} | {right} |", "|---|---|"]
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
