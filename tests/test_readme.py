"""The README keeps its word: its commands, its blocks, its table of plug-ins and its links."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ae_lightning
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.cli.main import PLAIN_COMMANDS, TRAINER_COMMANDS, main
from ae_lightning.core.config_files import shipped
from ae_lightning.core.parts import locate
from ae_lightning.theory import CLAIMS
from helpers.interpreter import streams

ROOT = Path(ae_lightning.__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ONE_BATCH = ("--trainer.fast_dev_run", "true", "--data.batch_size", "8")
SMALL = {"manifold": ("--data.size", "100"), "folder": ("--data.num_workers", "0")}

# One plug-in of each kind of the table, as the table says that they are written.
OWN = """
import torch
from torch.distributions import Independent, Normal
from ae_lightning import Regularizer, Schedule
from ae_lightning.callbacks import PictureCallback, picture
from ae_lightning.callbacks.drawing.theme import new_figure
from ae_lightning.corruptions import Corruption
from ae_lightning.datamodules import InMemory, PairDataModule
from ae_lightning.likelihoods import Likelihood
from ae_lightning.nn import Network
from ae_lightning.priors import Prior


class Smallness(Regularizer):
    def forward(self, model, out):
        return out.q.mean.square().sum(1)


class Root(Schedule):
    def value(self, progress):
        return self.start + (self.end - self.start) * progress**0.5


class Affine(Network):
    def build(self, inputs, outputs, mirror=None):
        self.shape = tuple(outputs)
        self.layer = torch.nn.Linear(torch.Size(inputs).numel(), torch.Size(outputs).numel())

    def forward(self, x):
        return self.layer(x.flatten(1)).unflatten(1, self.shape)


class Wide(Prior):
    def build(self, latent, shape, encode):
        self.latent = latent

    def forward(self):
        return Independent(Normal(torch.zeros(self.latent), 2.0), 1)


class Unit(Likelihood):
    def forward(self, features):
        return Independent(Normal(features, 1.0), self.event_dims)


class Dimmed(Corruption):
    def forward(self, x, generator=None):
        return x / 2


class Ramp(PairDataModule):
    shape = (1, 4, 4)

    def read(self):
        x = torch.arange(1600).view(100, 1, 4, 4) / 1600
        return {"train": InMemory(x, torch.zeros(100, dtype=torch.long))}


class Bars(PictureCallback):
    name = "bars"

    def draw(self, model, pair):
        figure = new_figure(3, 3)
        figure.subplots().bar(range(model.latent), model.code(pair.x).mean(0))
        return figure
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, with some photos in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    for i in range(30):
        Image.new("RGB", (40, 50), (8 * i, 100, 200)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path


def block(language: str, start: str) -> str:
    """The block of code of the README that begins so."""
    (found,) = re.findall(rf"```{language}\n({re.escape(start)}.*?)```", README, re.DOTALL)
    return found


def commands(text: str) -> list[str]:
    """The commands that train from configs, of which a comment is no part."""
    return re.findall(r"ae-lightning (fit --config[^<\n#]*)", text)


def trains(command: str) -> None:
    """Train on one batch as a command says."""
    small = [f for data, flags in SMALL.items() if f"--config {data}" in command for f in flags]
    given = shlex.split(command.replace("~", str(Path.home())))
    assert main([*given, *small, *ONE_BATCH]) == 0


@pytest.mark.usefixtures("small_sets")
def test_every_command_that_trains_does(elsewhere: Path) -> None:
    (elsewhere / "my-objective.yaml").write_text(block("yaml", "# my-objective.yaml"))
    (elsewhere / "my_lab.py").write_text(block("python", "# my_lab.py"))
    given = dict.fromkeys(commands(README + (ROOT / "docs" / "pictures.md").read_text()))
    assert len(given) == 13
    for command in given:
        trains(command)


BRIEF = {"fit": ("--trainer.max_epochs", "1"), "evaluate": ("--samples", "2", "--limit", "20")}
ELSEWHERE = ("explore", "push")  # which serve a browser and go to the hub


def test_the_commands_after_training_work_in_their_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is printed of a result is the same, however long the run was trained."""
    section = README.partition("\n## After training\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^ {4,}(?:ae-lightning +([^#\n]*)|→ (.*))", section, re.MULTILINE)
    assert main(["fit", "--config", "vae", "--config", "digits", *BRIEF["fit"]]) == 0
    done = list[str]()
    for command, printed in lines:
        if printed:
            if done[-1] not in ("evaluate", "detect"):
                assert printed == capsys.readouterr().out.splitlines()[-1], command
            continue
        words = shlex.split(command)
        done.append(words[0])
        if words[0] not in ELSEWHERE:
            capsys.readouterr()
            assert main([*words, *BRIEF.get(words[0], ())]) == 0, command
    after = [*PLAIN_COMMANDS][[*PLAIN_COMMANDS].index("encode") :]
    told = {*after} - {"pull", "plot", "optimize", "completion", "theory"}
    assert {*done} == {*told, "fit"}


def test_the_ten_lines_train_and_sample_without_chatter(elsewhere: Path) -> None:
    lines = block("python", "from lightning.pytorch import Trainer")
    assert len([line for line in lines.splitlines() if line]) == 10
    quick = lines.replace("max_epochs=20", "max_epochs=1")
    said, noted = streams("-c", f"{quick}\nprint(images.shape, copies.shape)", folder=elsewhere)
    assert said.endswith("torch.Size([16, 1, 8, 8]) torch.Size([10, 1, 8, 8])\n")
    assert noted == "`Trainer.fit` stopped: `max_epochs=1` reached.\n"


@pytest.mark.usefixtures("small_sets")
def test_the_lines_after_training_use_the_run() -> None:
    run = ("--config", "vae", "--config", "mnist", "--trainer.max_epochs", "1")
    assert main(["fit", *run, "--data.batch_size", "8"]) == 0
    names: dict[str, object] = {}
    lines = block("python", "from ae_lightning import load")
    exec(lines, names)
    promised = re.findall(r"^ *(\w+)(?:, _)? = .*  # .*\(([\d, ]+)\)$", lines, re.MULTILINE)
    assert len(promised) == 4
    for name, shape in promised:
        value: Any = names[name]
        assert list(value.shape) == [int(n) for n in shape.split(",") if n.strip()]


def test_every_kind_of_plug_in_is_used_by_its_option(elsewhere: Path) -> None:
    rows = re.findall(r"^\| \w[\w ]* \| `([\w.]+)` \| (.*) \| `(--\S+?)`", README, re.MULTILINE)
    assert len(rows) == 8
    (elsewhere / "own_kinds.py").write_text(OWN)
    flags = []
    for base, defined, option in rows:
        kind = locate(f"ae_lightning.{base}")
        for name in re.findall(r"`(\w+)", defined):
            assert hasattr(kind, name) or name in kind.__annotations__
        own = [c for c in vars(import_module("own_kinds")).values() if isinstance(c, type)]
        for plug_in in (c for c in own if issubclass(c, kind) and c.__module__ == "own_kinds"):
            flags += [option.replace("NAME", "own"), f"own_kinds.{plug_in.__name__}"]
    assert len(flags) == 2 * len(rows)
    assert main(["fit", "--config", "vae", *flags, *ONE_BATCH]) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", prose)
    for link in (one or other for one, other in links):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_config_of_a_page_is_known(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"(?:^    |`|&& )ae-lightning (\w+)", text, re.MULTILINE)
    assert set(named) <= TRAINER_COMMANDS.keys() | PLAIN_COMMANDS.keys()
    assert set(re.findall(r"--config ([\w/]+)(?![\w/.-])", text)) <= shipped().keys()


def test_every_file_and_name_of_contributing_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    homes = (ROOT, ROOT / "ae_lightning", ROOT / "tests" / "callbacks")
    for name in re.findall(r"`([\w/]+(?:\.py|\.toml|/))`", text):
        assert any((home / name).exists() for home in homes), name
    for name, file in re.findall(r"`([A-Z]+)`\s(?:in|of)\s`([\w/.]+)`", text):
        (home,) = [home for home in homes if (home / file).exists()]
        assert re.search(rf"^{name}\b", (home / file).read_text(), re.MULTILINE), name


def test_the_claims_that_are_named_are_known() -> None:
    (named,) = re.findall(r"ae-lightning theory ((?:\w+ )+)--", README)
    assert set(named.split()) <= CLAIMS.keys()


def test_the_table_names_every_system() -> None:
    named = re.findall(r"^\| `(\w+AutoEncoder)` \|", README, re.MULTILINE)
    assert set(named) == {n for n in ae_lightning.__all__ if n.endswith("AutoEncoder")} - {
        AutoEncoder.__name__
    }
