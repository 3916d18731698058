"""--print_config prints what fit takes: whole, of every shipped combination, and the same run."""

import contextlib
import io
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from ae_lightning.cli.main import main
from ae_lightning.core.config_files import kind_and_purpose, read, shipped

KINDS = {name: kind_and_purpose(file)[0] for name, file in shipped().items()}
SYSTEMS, DATA, RECIPES = (
    [n for n, kind in KINDS.items() if kind == k] for k in ("system", "data", "recipe")
)
PATH = ["--data.path", "images"]
PLACED = {"folder": PATH, "stream": ["--data.path", "chunks"], "recipes/photographs": PATH}
COMBINED = [
    *([s, d] for s, d in product(SYSTEMS, DATA)),
    *([s, "conv", "mnist"] for s in SYSTEMS if s not in ("linear", "sparse", "contractive")),
    ["denoising", "score", "manifold"],
    *(["vae", "digits", extra] for extra in ("ddp", "fsdp", "wandb")),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(*args: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["fit", *args, "--print_config"]) == 0
    return out.getvalue()


@pytest.mark.parametrize("names", COMBINED, ids="-".join)
def test_what_is_printed_is_a_config_that_says_the_same(names: list[str]) -> None:
    optimizer = printed_again(names)["model"]["init_args"]["optimizer"]
    assert optimizer["init_args"]["lr"] == 3e-3
    assert optimizer["class_path"] == "torch.optim.Adam"


@pytest.mark.parametrize("name", RECIPES)
def test_so_it_is_of_a_recipe(name: str) -> None:
    recipe, found = read(name), printed_again([name])
    assert found["model"]["class_path"].endswith(recipe["model"]["class_path"].rpartition(".")[2])
    assert found["trainer"]["max_epochs"] == recipe["trainer"]["max_epochs"]


def printed_again(names: list[str]) -> dict[str, Any]:
    """What is printed of shipped configs, once it is seen that it says the same."""
    given = [word for name in names for word in ("--config", name)]
    text = printed(*given, *PLACED.get(names[-1], []), "--run", "a", "--debug")
    Path("c.yaml").write_text(text)
    assert printed("--config", "c.yaml") == text
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_a_printed_config_gives_the_same_run_to_the_bit() -> None:
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"]
    given = ["--config", "vae", "--config", "digits", "--model.regularizers.rate.weight=4", *short]
    Path("c.yaml").write_text(printed(*given))
    assert main(["fit", *given, "--run", "a"]) == 0
    assert main(["fit", "--config", "c.yaml", "--run", "b"]) == 0
    assert Path("a/metrics.csv").read_text() == Path("b/metrics.csv").read_text()
    assert Path("a/config.yaml").read_text() == Path("b/config.yaml").read_text()
