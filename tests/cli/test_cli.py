"""The command line on what it is for: every shipped config trains, configs and flags compose."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from ae_lightning.cli.main import main

SYSTEMS = "linear undercomplete sparse contractive denoising stochastic vae iwae"
ONE_BATCH = ("--trainer.fast_dev_run", "true", "--data.batch_size", "8")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(elsewhere: Path) -> Path:
    """A folder of twelve images of two sizes."""
    from PIL import Image

    path = elsewhere / "images"
    path.mkdir()
    for i in range(12):
        Image.new("RGB", (70 + i % 2, 80), (20 * i, 100, 200)).save(path / f"{i}.png")
    return path


def flags(data: str) -> list[str]:
    """What keeps a data set small."""
    sizes = {"manifold": ["--data.size", "100"], "sprites": ["--data.size", "20"]}
    sizes["folder"] = ["--data.path", "images", "--data.num_workers", "0"]
    held_out = ["--data.val_size", "2"] if data in ("folder", "manifold", "sprites") else []
    return [*sizes.get(data, []), *held_out]


@pytest.mark.usefixtures("small_sets", "folder")
@pytest.mark.parametrize(
    "data", ["digits", "mnist", "fashion_mnist", "cifar10", "folder", "manifold", "sprites"]
)
@pytest.mark.parametrize("system", SYSTEMS.split())
def test_every_system_trains_on_every_data_set(system: str, data: str) -> None:
    args = ["--config", system, "--config", data, *flags(data), *ONE_BATCH]
    assert main(["fit", *args]) == 0


@pytest.mark.usefixtures("small_sets", "folder")
@pytest.mark.parametrize("data", ["digits", "mnist", "cifar10", "folder", "sprites"])
@pytest.mark.parametrize("system", ["undercomplete", "denoising", "vae", "iwae"])
def test_convolutional_networks_train_on_every_image(system: str, data: str) -> None:
    args = ["--config", system, "--config", "conv", "--config", data, *flags(data), *ONE_BATCH]
    assert main(["fit", *args]) == 0


@pytest.mark.parametrize("data", ["mnist", "fashion_mnist"])
def test_real_images_train(ae_data: Path, data: str) -> None:
    if not (ae_data / {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[data]).is_dir():
        pytest.skip(f"AE_DATA holds no {data}")
    args = ["--config", "vae", "--config", data, "--data.root", str(ae_data), *ONE_BATCH]
    assert main(["fit", *args]) == 0


def test_a_default_run_says_what_matters_and_warns_of_nothing(elsewhere: Path) -> None:
    command = [sys.executable, "-m", "ae_lightning", "fit", "--config", "vae", "--config", "digits"]
    done = subprocess.run(
        [*command, "--trainer.max_epochs", "2"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["`Trainer.fit` stopped: `max_epochs=2` reached."]
    first, second, *rest = done.stdout.splitlines()
    assert first.startswith("VariationalAutoEncoder (")
    assert first.endswith("parameters) on Digits, in runs/vae-digits-1")
    assert second.startswith("best validation: epoch 1, step ")
    told = {line.strip().split("  ")[0] for line in rest}
    expected = {"ELBO", "distortion", "rate", "active units", "run", "checkpoint", "metrics"}
    assert expected | {"picture"} <= told
    run = elsewhere / "runs" / "vae-digits-1"
    made = {p.name for p in run.iterdir()}
    assert made >= {"config.yaml", "checkpoints", "metrics.csv", "pictures"}


PLUG_IN = '''
from torch import Tensor
from ae_lightning import AutoEncoder
from ae_lightning import ForwardPass
from ae_lightning import Regularizer

class Slowness(Regularizer):
    """Codes near zero."""

    def __init__(self, weight: float = 1.0, power: int = 2) -> None:
        super().__init__(weight)
        self.power = power

    def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
        return out.q.mean.abs().pow(self.power).sum(1)
'''


def recorded(run: Path) -> dict:
    """The model's arguments as the run's config.yaml has them."""
    return yaml.safe_load((run / "config.yaml").read_text())["model"]["init_args"]


def short_fit(*args: str) -> int:
    limits = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    return main(["fit", "--config", "undercomplete", "--config", "digits", *limits, *args])


@pytest.mark.parametrize("way", ["yaml", "flag"])
def test_a_users_plug_in_needs_only_its_dotted_path(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    module = f"lab_{way}"  # a module once imported stays so
    Path(f"{module}.py").write_text(PLUG_IN)
    Path("mine.yaml").write_text(
        "model: {init_args: {regularizers: {slow: "
        f"{{class_path: {module}.Slowness, init_args: {{power: 4}}}}}}}}}}\n"
    )
    name = "--model.init_args.regularizers.slow"
    by_flag = [name, f"{module}.Slowness", f"{name}.power", "4"]
    given = ["--config", "mine.yaml"] if way == "yaml" else by_flag
    assert short_fit("--run", "a", *given) == 0
    slow = recorded(Path("a"))["regularizers"]["slow"]
    assert slow == {"class_path": f"{module}.Slowness", "init_args": {"weight": 1.0, "power": 4}}
    assert "train/slow" in Path("a/metrics.csv").read_text().splitlines()[0]
    assert main(["validate", "--run", "a"]) == 0


def test_a_plug_in_that_breaks_is_named(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    Path("broken_lab.py").write_text(PLUG_IN.replace("return", "return out.nope +"))
    assert short_fit("--run", "a", "--model.regularizers.slow", "broken_lab.Slowness") == 1
    assert "in the penalty Slowness, --debug shows where" in capsys.readouterr().err


def test_penalties_of_files_and_flags_add_up(elsewhere: Path) -> None:
    L2 = "{class_path: ae_lightning.regularizers.L2, init_args: {weight: 0.5}}"
    for name in ("one", "two"):
        text = f"model: {{init_args: {{regularizers: {{{name}: {L2}}}}}}}"
        Path(f"{name}.yaml").write_text(text)
    three = "--model.init_args.regularizers.three"
    files = ["--config", "one.yaml", "--config", "two.yaml"]
    weights = [f"{three}.weight", "0.25", "--model.init_args.regularizers.one.weight", "0.1"]
    assert short_fit("--run", "a", *files, three, "ae_lightning.regularizers.L1", *weights) == 0
    found = recorded(Path("a"))["regularizers"]
    assert {k: v["init_args"]["weight"] for k, v in found.items()} == {
        "one": 0.1,
        "two": 0.5,
        "three": 0.25,
    }


def test_flags_override_configs_wherever_they_stand(elsewhere: Path) -> None:
    given = ["--model.latent", "5", "--model.encoder.widths", "[9]", "--model.optimizer.lr", "0.5"]
    assert short_fit(*given, "--run", "a", "--config", "undercomplete") == 0
    arguments = recorded(Path("a"))
    assert (arguments["latent"], arguments["encoder"]["init_args"]["widths"]) == (5, [9])
    assert arguments["optimizer"]["init_args"]["lr"] == 0.5


def test_the_seed_reaches_model_and_data_and_stays_out_of_the_config(elsewhere: Path) -> None:
    assert short_fit("--run", "a", "--seed_everything", "7") == 0
    text = yaml.safe_load(Path("a/config.yaml").read_text())
    assert text["seed_everything"] == 7
    assert {"seed", "shape", "value_range"}.isdisjoint(text["model"]["init_args"])
    checkpoint = torch.load("a/checkpoints/best.ckpt", weights_only=True)
    records = [checkpoint[k] for k in ("hyper_parameters", "datamodule_hyper_parameters")]
    assert [r["init_args"]["seed"] for r in records] == [7, 7]


def test_a_runs_own_config_repeats_it_to_the_bit(elsewhere: Path) -> None:
    assert short_fit("--run", "a", "--model.latent", "3") == 0
    assert main(["fit", "--config", "a/config.yaml", "--run", "b"]) == 0
    assert Path("a/config.yaml").read_text() == Path("b/config.yaml").read_text()
    assert Path("a/metrics.csv").read_text() == Path("b/metrics.csv").read_text()


def test_runs_are_numbered_and_named_for_what_is_trained(elsewhere: Path) -> None:
    for _ in range(2):
        assert short_fit() == 0
    assert short_fit("--data", "Manifold", "--data.size", "99", "--data.val_size", "9") == 0
    assert {p.name for p in Path("runs").iterdir()} == {
        "undercomplete-digits-1",
        "undercomplete-digits-2",
        "undercomplete-manifold-1",
    }


@pytest.mark.parametrize("off", ["--trainer.logger", "--trainer.enable_checkpointing"])
def test_what_is_switched_off_stays_off(elsewhere: Path, off: str) -> None:
    assert short_fit("--run", "a", off, "false") == 0
    names = {p.name for p in Path("a").iterdir()}
    missing = {"--trainer.logger": "metrics.csv", "--trainer.enable_checkpointing": "checkpoints"}
    assert {"metrics.csv", "checkpoints"} - names == {missing[off]}


@pytest.mark.parametrize(
    ("environment", "known"),
    [({}, False), ({"WANDB_API_KEY": "k"}, True)],
)
def test_credentials_are_found(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], known: bool
) -> None:
    from ae_lightning.training.weights_and_biases import has_credentials

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert has_credentials() is known


def test_credentials_are_found_in_netrc(elsewhere: Path) -> None:
    from ae_lightning.training.weights_and_biases import has_credentials

    netrc = elsewhere / ".netrc"
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    netrc.chmod(0o600)
    assert has_credentials()


def test_a_logger_by_its_class_path_joins_metrics_csv(elsewhere: Path) -> None:
    logger = ["--trainer.logger", "lightning.pytorch.loggers.CSVLogger"]
    assert short_fit("--run", "a", *logger, "--trainer.logger.save_dir", "other") == 0
    assert Path("a/metrics.csv").exists()
    assert list(Path("other").rglob("metrics.csv"))


def says(capsys: pytest.CaptureFixture[str], call: Callable[[], int]) -> str:
    assert call() == 0
    return capsys.readouterr().out


def test_configs_lists_every_shipped_config_once(capsys: pytest.CaptureFixture[str]) -> None:
    from ae_lightning.core.config_files import shipped

    lines = says(capsys, lambda: main(["configs"])).splitlines()
    listed = [line.split()[0] for line in lines if line]
    assert all(listed.count(name) == 1 for name in shipped())


def test_the_front_page_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    page = says(capsys, lambda: main([]))
    assert page == says(capsys, lambda: main(["--help"]))
    assert all(f"\n  {c} " in page for c in ("fit", "validate", "test", "encode", "configs"))
    assert says(capsys, lambda: main(["--version"])).startswith("ae-lightning 0.")


@pytest.mark.parametrize("command", ["fit", "validate", "configs"])
def test_a_command_explains_its_options(capsys: pytest.CaptureFixture[str], command: str) -> None:
    page = says(capsys, lambda: main([command, "--help"]))
    assert ("--trainer.devices" in page) is (command != "configs")
    assert len(page.splitlines()) < 40


def test_a_reader_that_has_read_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["configs"]) == 128 + signal.SIGPIPE
