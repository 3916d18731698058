"""The direction of imports, and what is not imported until something needs it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ae_lightning
from helpers.interpreter import python

ROOT = Path(ae_lightning.__file__).parents[1]

# A room or a module imports what stands in its own row, or above.
ROWS = (
    {"core"},
    {"distributions", "schedules", "training"},
    {"corruptions", "likelihoods", "posteriors", "priors", "nn"},
    {"model"},
    {"geometry", "samplers", "variants"},
    {"regularizers", "metrics", "evidence"},
    {"autoencoder"},
    {"systems"},
    {"inference", "theory"},
    {"cli"},
    {"__main__"},
)
SIDE = {  # what stands beside the rows sees only these, and is seen only by inference and below
    "datamodules": {"core", "corruptions"},
    "callbacks": {"core", "training", "distributions", "corruptions", "likelihoods", "posteriors"}
    | {"priors", "nn", "model", "geometry", "samplers", "metrics", "regularizers"},
}
FOLDERS = {"datamodules": ROOT / "datamodules", "callbacks": ROOT / "callbacks"}


def row_of(name: str) -> int:
    return next(i for i, row in enumerate(ROWS) if name in row)


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of ae_lightning that code imports, for type checking too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module is not None:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            yield from (n for n in names if n.count(".") == 1 or n == node.module)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        yield from imported(node)


def parts_of(file: Path) -> set[str]:
    """The names below ae_lightning that a file imports."""
    names = [n.split(".") for n in imported(ast.parse(file.read_text()))]
    return {n[1] for n in names if n[0] == "ae_lightning" and len(n) > 1}


def modules() -> list[tuple[str, Path]]:
    inside = (ROOT / "ae_lightning").rglob("*.py")
    own = [(f.relative_to(ROOT / "ae_lightning").parts[0].removesuffix(".py"), f) for f in inside]
    beside = [(name, file) for name, folder in FOLDERS.items() for file in folder.rglob("*.py")]
    return [(name, file) for name, file in own + beside if name != "__init__"]


@pytest.mark.parametrize(("name", "file"), modules(), ids=lambda v: getattr(v, "stem", v))
def test_imports_point_one_way(name: str, file: Path) -> None:
    known = set().union(*ROWS) | set(SIDE)
    names = parts_of(file) & known
    if name in SIDE:
        assert names <= SIDE[name] | {name}
        return
    assert name in known, f"{file} stands in no row of the design"
    row = row_of(name)
    for other in names:
        if other in SIDE:
            assert row >= row_of("inference"), f"{name} imports {other}"
        else:
            assert row_of(other) <= row, f"{name} imports {other}"


def test_the_front_answers_without_torch() -> None:
    """Start-up takes no seconds, since help, the list of configs and a wrong name need no torch."""
    code = """
import sys
from ae_lightning.cli.main import main
codes = [main(a) for a in ([], ["--help"], ["--version"], ["configs"], ["fti"], ["configs", "-x"])]
codes.append(main(["fit", "--config"]))
print(codes, sorted(m for m in ("torch", "lightning", "numpy", "matplotlib") if m in sys.modules))
"""
    assert python("-c", code).splitlines()[-1] == "[0, 0, 0, 0, 2, 2, 2] []"


def test_what_is_heavy_is_imported_only_where_it_is_used() -> None:
    """The package alone needs no torch; a model no data; training no more than Lightning."""
    code = """
import sys
import ae_lightning
print("torch" in sys.modules)
ae_lightning.VariationalAutoEncoder
heavy = ("ae_lightning.datamodules", "ae_lightning.callbacks", "wandb", "sklearn")
print([m for m in heavy if m in sys.modules])
import lightning.pytorch.cli, ae_lightning.datamodules
before = set(sys.modules)
ae_lightning.VariationalAutoEncoder((1, 8, 8))
ae_lightning.datamodules.Digits().setup()
import ae_lightning.cli.fit, ae_lightning.cli.checkpoint_commands
heavy = ("wandb", "matplotlib", "sklearn", "torchvision", "PIL", "pandas")
print([m for m in heavy if m in sys.modules and m not in before])
"""
    assert python("-c", code).splitlines()[-3:] == ["False", "[]", "[]"]


def test_every_public_name_is_there() -> None:
    assert all(getattr(ae_lightning, name).__name__ == name for name in ae_lightning.__all__)
    assert set(ae_lightning.__all__) <= set(dir(ae_lightning))
    with pytest.raises(AttributeError, match="no attribute Variational"):
        _ = ae_lightning.Variational  # type: ignore[attr-defined]
