"""Some hundreds of bad configs, drawn by a seed: each is one sentence that names what is wrong."""

from __future__ import annotations

import inspect
import os
import re
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, get_args, get_origin

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer

import ae_lightning.callbacks
import ae_lightning.datamodules
from ae_lightning import (
    VariationalAutoEncoder,
    corruptions,
    likelihoods,
    nn,
    priors,
    regularizers,
    schedules,
)
from ae_lightning.cli.composition import shipped
from ae_lightning.cli.main import PLAIN_COMMANDS, TRAINER_COMMANDS, main
from ae_lightning.nn import MLP

CASES = 240
# A thing that goes wrong: the arguments, and what the sentence must hold of them.
Case = tuple[list[str], str]
Spell = Callable[[str, Any], list[str]]

DATA = ("--data", "NumpyFile", "--data.path", "images.npy")
FIT = ("fit", "--config", "vae", *DATA, "--trainer.max_epochs", "1")
# What Python says to programmers, and no sentence for a user.
RAW = re.compile(
    r"has no attribute|not supported between|NoneType|__init__|__new__|Traceback|not iterable"
    r"|keyword argument|functools|object is not|expected str, bytes|unexpected|\n",
)

# ------------------------------------------------------------------------ what is wrong


def misspelt(word: str, random: Random) -> str:
    """A word with one letter left out, doubled, exchanged or put in."""
    at = random.randrange(1, len(word))
    letter = random.choice(string.ascii_lowercase)
    return random.choice(
        [
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + letter + word[at:],
            word[:at] + letter + word[at + 1 :],
        ]
    )


def wrong_names(random: Random, spell: Spell) -> Iterator[Case]:
    """Names one letter off: commands, configs, options, arguments and classes."""
    trainer = [n for n in parameters_of(Trainer) if len(n) > 4]
    named = {
        "": [*TRAINER_COMMANDS, *PLAIN_COMMANDS],
        "--config": list(shipped()),
        "trainer": trainer,
        "checkpoints": ["monitor", "every_n_steps", "mode"],
        "model": [n for n in parameters_of(VariationalAutoEncoder) if len(n) > 3],
        "model.encoder": ["widths", "activation", "dropout", "unit_columns"],
        "data": ["batch_size", "val_size", "corruption", "split_seed", "unit_interval"],
        "model.regularizers.p": classes(regularizers, regularizers.Regularizer),
        "data.corruption": classes(corruptions, corruptions.Corruption),
        "trainer.callbacks": classes(
            ae_lightning.callbacks, ae_lightning.callbacks.Report.__mro__[-2]
        ),
    }
    for place, names in named.items():
        for _ in range(14):
            right = random.choice(names)
            wrong = misspelt(right, random)
            if wrong in names or wrong.startswith("-"):
                continue
            if place == "":
                yield [wrong, *FIT[1:]], f"unknown command {wrong!r}"
            elif place == "--config":
                yield [*FIT, place, wrong], f"no config {wrong}"
            elif right[0].isupper():
                yield [*FIT, f"--{place}", wrong], wrong
            else:
                yield [*FIT, *spell(f"{place}.{wrong}", 1)], wrong


def parameters_of(cls: type) -> dict[str, Any]:
    """The types of a class's parameters by name, and of those that it passes on to its bases."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if inspect.isfunction(init := vars(base).get("__init__")):
            _, *parameters = inspect.signature(
                init, eval_str=base is not Trainer
            ).parameters.values()
            kinds = {p.kind for p in parameters}
            named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
            found = {p.name: p.annotation for p in named} | found
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return found


def classes(module: Any, base: type) -> list[str]:
    named = ((n, c) for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base))
    return [n for n, c in named if not inspect.isabstract(c) and c is not base]


SLOTS = {
    "model.regularizers.p": (regularizers, regularizers.Regularizer),
    "model.lr_schedule": (schedules, schedules.Schedule),
    "data.corruption": (corruptions, corruptions.Corruption),
    "model.likelihood": (likelihoods, likelihoods.Likelihood),
    "model.prior": (priors, priors.Prior),
    "model.encoder": (nn, nn.Network),
}
NO_VALUE = {
    float: ["x", "[1]", "{}", "nan", "1e400", "-.inf", "null"],
    int: ["x", "1.5", "[1]", "{a: 1}", "1e9", "null", ".nan"],
    bool: ["x", "3", "[]", "null"],
}


def wrong_types(random: Random, spell: Spell) -> Iterator[Case]:
    """Every argument of every part, with values of other types."""
    for slot, (module, base) in SLOTS.items():
        for name in classes(module, base):
            cls = getattr(module, name)
            for argument, hint in parameters_of(cls).items():
                kinds = {hint, *get_args(hint)} & set(NO_VALUE)
                if not kinds or isinstance(get_origin(hint), type):  # a list, which [1] is
                    continue
                values = set.intersection(*({*NO_VALUE[kind]} for kind in kinds))
                value = random.choice(sorted(values - ({"null"} if "None" in str(hint) else set())))
                part = ["--" + slot, f"{module.__name__}.{name}"]
                yield [*FIT, *part, *spell(f"{slot}.{argument}", value)], argument


RANGES = {
    "model.latent": [0, -1],
    "model.samples": [0, -3],
    "model.encoder.widths": [[0], [8, -1]],
    "model.encoder.dropout": [1, -0.1, 2.0],
    "model.encoder.activation": ["Silu2", "Softmax2d", "Threshold", "Module", ""],
    "data.batch_size": [0, -1],
    "data.val_size": [0, -2, 40, 10**9],
    "data.split_seed": [-1],
    "seed_everything": [-1, 2**40, "x", [1]],
    "checkpoints.every_n_steps": [0, -1, "x"],
    "checkpoints.monitor": ["val/lss", "loss", "", "train/loss"],
    "checkpoints.mode": ["least", "", 3],
    "model.lr_schedule.rise": [0, 1.5],
    "model.lr_schedule.epochs": [0, -1],
    "trainer.max_epochs": [-2, 1.5, "1e3", [], {}, True, "nan", ""],
    "trainer.min_epochs": [-1, "x"],
    "trainer.max_steps": [-2, 1.5, "x"],
    "trainer.min_steps": [-1],
    "trainer.max_time": ["x", "99", "1:2", {}, {"days": "x"}, {"dys": 1}, []],
    "trainer.limit_train_batches": [-1, 0, 0.0, 1.5, "x", 1e-9],
    "trainer.limit_val_batches": [-1, 2.5, 1e-9],
    "trainer.overfit_batches": [-1, 1.5, "x"],
    "trainer.val_check_interval": [0, -1, 1.5, "x", 99999, 0.0],
    "trainer.check_val_every_n_epoch": [0, -1, 1.5],
    "trainer.num_sanity_val_steps": [-2, "x"],
    "trainer.log_every_n_steps": [-1, "x"],
    "trainer.accumulate_grad_batches": [0, -1, 1.5, {}],
    "trainer.gradient_clip_val": [-1, "nan", "inf", "x"],
    "trainer.gradient_clip_algorithm": ["x", 1],
    "trainer.deterministic": ["x", 2],
    "trainer.precision": [15, "bf", "int8", "transformer-engine", "16-true", "bf16-true"],
    "trainer.devices": [0, -2, "x", [], [0, 0], 1.5],
    "trainer.num_nodes": [0, -1, 2, "x"],
    "trainer.accelerator": ["cdua", 3, "tpu"],
    "trainer.strategy": ["dpp", 3, "deepspeed", "fsdp", "ddp_spawn", "ddp_notebook"],
    "trainer.logger": ["TensorBoard", 3, "MLFlowLogger", "torch.nn.Linear", "no.such.Logger"],
    "trainer.callbacks": ["EarlyStoping", ["x"], 3, "ae_lightning.callbacks.Nothing"],
    "trainer.fast_dev_run": [-1, "x"],
    "trainer.profiler": ["x", 3],
    "trainer.plugins": ["x", "torch.nn.Linear"],
    "trainer.enable_progress_bar": ["x"],
    "trainer.reload_dataloaders_every_n_epochs": [-1],
    "trainer": ["x", [1], 3],
    "checkpoints": ["x", [1]],
    "model": [3, [1], "Variational", "torch.nn.Linear", "no.such.Model"],
    "model.encoder": [3, [1], "MPL", "torch.nn.Linear", "no_such.Part"],
    "model.regularizers": ["x", [1]],
    "model.regularizers.a-b": ["ae_lightning.regularizers.L2"],
    "model.regularizers.loss": ["ae_lightning.regularizers.L2"],
    "model.regularizers.p": [3, "Contractiv", "torch.nn.Linear", "ae_lightning.regularizers.L3"],
    "model.optimizer": [3, "SDG", "torch.nn.Linear"],
    "model.optimizer.lr": ["x", "null", [1], -1],
    "model.optimizer.betas": [[2, 3], [2]],
    "model.seed": [3],
    "model.shape": [[3]],
    "data": [3, [], "Digitss"],
    "data.path": ["nowhere.npy", ""],
    "data.corruption": ["x", 3, "torch.nn.Linear"],
    "nothing": [3],
    "run": ["here"],
    "fit.trainer.max_epochs": [3],
}

# What a sentence names in the place of an option that another part has made use of.
SAID = {"model.optimizer.lr": "", "model.optimizer.betas": ""}


def wrong_values(random: Random, spell: Spell) -> Iterator[Case]:
    """Values of the right type that cannot be, and classes that do not fit."""
    for option, values in RANGES.items():
        for value in values:
            words = option.split(".")
            if option == "run":
                yield [*FIT, "--config", written({"run": value}, "run.yaml")], "run stands"
            else:
                yield [*FIT, *spell(option, value)], SAID.get(option, words[-1])


CONFIGS = {
    "binary.yaml": bytes(range(256)),
    "open.yaml": b"model: [1,\n  - a: b: c",
    "tab.yaml": b"model:\n\tinit_args: 3",
    "self.yaml": b"model: &a {init_args: *a}",
    "alias.yaml": b"model: *nowhere",
    "tag.yaml": b"model: !!python/object/apply:os.system ['true']",
    "documents.yaml": b"a: 1\n---\nb: 2",
    "list.yaml": b"- 1",
    "number.yaml": b"3",
    "key.yaml": b"trainer: {1: 2}",
    "null_key.yaml": b"null: 2",
    "list_key.yaml": b"? [1, 2]\n: 3",
    "class.yaml": b"model: {class_path: 3}",
    "no_class.yaml": b"model: {class_path: null}",
    "arguments.yaml": b"model: {init_args: [1]}",
    "no_arguments.yaml": b"data: {init_args: null}",
    "deep.yaml": b"a: " + b"[" * 2000 + b"]" * 2000,
    "resume.yaml": b"resume: true",
    "beside.yaml": b"model: {latent: 3}",
    "penalty.yaml": b"model: {init_args: {regularizers: {a: null}}}",
}


def wrong_configs(random: Random, spell: Spell) -> Iterator[Case]:
    """Config files that are none."""
    said = {
        "penalty.yaml": "regularizers",
        "resume.yaml": "--resume",
        "beside.yaml": "model.latent",
    }
    for name, content in CONFIGS.items():
        Path(name).write_bytes(content)
        yield [*FIT, "--config", name], said.get(name, name)
    for name in ("", "nowhere.yaml", "x" * 300, "a\x00b", ".", "http://x/y.yaml"):
        yield [*FIT, "--config", name], f"no config {name[:50]}"


def wrong_data(random: Random, spell: Spell) -> Iterator[Case]:
    """Data files that are none, or none for the model."""
    images = np.zeros((30, 8, 8), np.uint8)
    arrays: dict[str, Any] = {
        "integers.npy": images.astype(np.int64),
        "complex.npy": images.astype(complex),
        "nan.npy": np.full((30, 8), np.nan),
        "scalar.npy": np.float32(3),
        "none.npy": images[:0],
        "one.npy": images[:1],
        "text.npy": np.array(["a"]),
        "objects.npy": np.array([{}], dtype=object),
    }
    for name, array in arrays.items():
        np.save(name, array)
    np.savez("names.npz", a=images)
    np.savez("labels.npz", x=images, y=np.zeros(3))
    np.savez("label.npz", x=images, y=np.float32(0))
    np.savez("pairs.npz", x=images, y=np.zeros((30, 2)))
    np.savez("splits.npz", x_train=images, x_test=images[:, 1:])
    torch.save({"x": {"y": 1}}, "nested.pt")
    torch.save(3, "number.pt")
    Path("empty.npy").write_bytes(b"")
    Path("short.npy").write_bytes(Path("images.npy").read_bytes()[:-9])
    Path("text.npz").write_text("hello")
    Path("plain").write_text("hello")
    said = {"one.npy": "val_size"}
    names = [*arrays, "names.npz", "labels.npz", "label.npz", "pairs.npz", "splits.npz"]
    for name in [*names, "nested.pt", "number.pt", "empty.npy", "short.npy", "text.npz", "plain"]:
        yield [*FIT, "--data.path", name], said.get(name, name)
    for folder in ("nowhere", "images.npy", "empty"):
        Path("empty").mkdir(exist_ok=True)
        yield ["fit", "--config", "vae", "--config", "folder", "--data.path", folder], folder
    for name in ("mnist", "fashion_mnist", "cifar10"):
        data = ["--config", name, "--data.root", "empty", "--data.download", "false"]
        yield ["fit", "--config", "vae", *data], "empty"


def contradictions(random: Random, spell: Spell) -> Iterator[Case]:
    """Parts that contradict each other, the data or the trainer."""
    penalty = "--model.regularizers.p"
    dirac = ["fit", "--config", "undercomplete", *DATA, "--trainer.max_epochs", "1"]
    odd = ["--data.path", "odd.npy"]
    np.save("odd.npy", np.zeros((30, 7, 9), np.uint8))
    np.save("vectors.npy", np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32))
    yield [*dirac, penalty, "Rate"], "Rate"
    yield [*dirac, penalty, "TotalCorrelation"], "TotalCorrelation"
    yield [*dirac, penalty, "SparsityKL"], "SparsityKL"
    yield [*dirac, "--model.prior", "VampPrior"], "VampPrior"
    yield ["fit", "--config", "iwae", *DATA, penalty, "Rate"], "Rate"
    yield ["fit", "--config", "denoising", *DATA, "--data.corruption", "Clean"], "clean pairs"
    yield [*FIT, "--config", "conv", *odd], "(1, 7, 9)"
    yield [*FIT, "--model.decoder", "TiedMLP"], "TiedMLP"
    yield [*FIT, "--data.path", "vectors.npy", "--model.likelihood", "Bernoulli"], "Bernoulli"
    yield [*FIT, "--config", "conv", "--data.path", "vectors.npy"], "(5,)"
    yield [*FIT, "--data.corruption", "BlockMasking", "--data.corruption.size", "9"], "BlockMasking"
    endless = ["--trainer.max_epochs", "-1", "--model.lr_schedule", "OneCycle"]
    yield [*FIT, *endless], "max_epochs"
    steps = ["--model.lr_schedule.steps", "3", "--model.lr_schedule.epochs", "3"]
    yield [*FIT, *steps], "steps (3) or epochs (3)"
    yield [*dirac, "--trainer.callbacks", "PriorSamples"], "prior_samples"
    yield [*FIT, "--model.latent", str(10**13)], "memory"
    yield [*FIT, "--model.latent", str(2**63)], "memory"
    for part in ("encoder", "decoder"):
        for argument, value in ("channels", "[4, 0]"), ("channels", "[]"), ("hidden", "0"):
            network = [f"--model.{part}", f"Conv{part.title()}"]
            yield [*FIT, *network, f"--model.{part}.{argument}", value], argument
    yield [*FIT, "--resume"], "--run"
    yield [*FIT, "--run", "nowhere", "--resume"], "nowhere"
    yield [*FIT, "--run", "images.npy"], "images.npy"
    yield [*FIT, "--run"], "--run"
    yield [*FIT, "--run="], "--run"
    yield [*FIT, "--trainer"], "--trainer"
    yield [*FIT, "--help=3"], "--help"
    yield [*FIT, "--model.init_args", "3"], "model.init_args"
    for callback in ("EarlyStopping", "ModelCheckpoint"):
        watch = ["--trainer.callbacks", callback, "--trainer.callbacks.monitor", "val/nothing"]
        yield [*FIT, *watch], "val/nothing"
    yield [*FIT, "--run", "taken"], "taken already contains a run"


def wrong_commands(random: Random, spell: Spell) -> Iterator[Case]:
    """The commands on a checkpoint, without one, with a wrong one, or with options not theirs."""
    good, other = "taken/checkpoints/best.ckpt", "other.ckpt"
    whole = Path(good).read_bytes()
    broken = {
        "cut.ckpt": whole[: len(whole) // 2],
        "flipped.ckpt": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        "empty.ckpt": b"",
        "text.ckpt": b"hello",
    }
    for name, content in broken.items():
        Path(name).write_bytes(content)
    torch.save({"state_dict": {}}, other)
    torch.save([1], "list.ckpt")
    torch.save(Trainer, "pickled.ckpt")
    files = [*broken, other, "list.ckpt", "pickled.ckpt", "nowhere.ckpt", "taken", "images.npy"]
    for command in ("validate", "test", "predict"):
        for name in files:
            yield [command, "--ckpt_path", name], name
        yield [command], "--ckpt_path"
        yield [command, "--run", "empty"], "empty"
        yield [command, "--run", "taken", "--ckpt_path", good], "--ckpt_path"
        yield [command, "--ckpt_path", good, "--data.path", "odd.npy"], good
        yield [command, "--ckpt_path", good, "--model.latent", "3"], good
        yield [command, "--ckpt_path", good, "--model.ltent", "3"], "ltent"
        yield [command, "--ckpt_path", good, "--resume"], "--resume"
        yield [command, "--ckpt_path", good, "--trainer.devices", "0"], "devices"
    for name in files[:-2]:
        yield ["plot", name], name
    yield ["plot"], "checkpoint"
    yield ["plot", good, "nonesuch"], "nonesuch"
    yield ["plot", good, "--data", "nonesuch"], "nonesuch"
    yield ["plot", good, "--out"], "out"
    yield ["plot", good, "--oot", "x"], "--oot"
    yield ["plot", good, "codes", "--out", "images.npy/x"], "images.npy/x"
    yield ["summary"], "run"
    yield ["summary", "empty"], "empty"
    yield ["summary", "taken", "more"], "more"
    yield ["configs", "more"], "more"
    yield ["configs", "rate", "more"], "more"
    yield ["theory", "nonesuch"], "nonesuch"
    yield ["optimize"], "optimize"
    yield ["optimize", "nowhere", "out"], "nowhere"
    yield ["optimize", "images.npy", "out"], "images.npy"
    yield ["optimize", "empty", "out", "--resize", "x"], "resize"


# ------------------------------------------------------------------------------ the test


def written(tree: Any, name: str) -> str:
    Path(name).write_text(yaml.safe_dump(tree))
    return name


def speller(random: Random) -> Spell:
    """Give an option by a flag, or by a config of its own."""

    def spell(option: str, value: Any) -> list[str]:
        text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True)
        first, *rest = option.split(".")
        nested = first in ("trainer", "checkpoints", "seed_everything") and len(rest) < 2
        overridden = option == "trainer.max_epochs"  # by a flag of FIT
        if not nested or overridden or random.random() < 0.5:
            return [f"--{option}={text.splitlines()[0] if text else text}"]
        tree: Any = yaml.safe_load(text) if text else text
        for name in reversed([first, *rest]):
            tree = {name: tree}
        return ["--config", written(tree, f"config-{random.random()}.yaml")]

    return spell


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with images, and with a run on them, in which to go wrong."""
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.random.default_rng(0).integers(0, 255, (40, 8, 8)).astype(np.uint8))
    data = ae_lightning.datamodules.NumpyFile("images.npy")
    model = VariationalAutoEncoder(data.shape, 4, encoder=MLP([8]), decoder=MLP([8]))
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    trainer = Trainer(max_steps=1, accelerator="cpu", enable_checkpointing=False, **quiet)
    trainer.fit(model, data)
    trainer.save_checkpoint("taken/checkpoints/best.ckpt")
    Path("taken/config.yaml").write_text("{}")
    return tmp_path


def complaint(args: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> str | None:
    """What is wrong with how a command went wrong, or None."""
    before = {p for p in Path().rglob("*") if "__pycache__" not in p.parts}
    code = main(args)
    err = capsys.readouterr().err.splitlines()
    left = {p for p in Path().rglob("*") if "__pycache__" not in p.parts} - before
    sentences = [line.removeprefix("ae-lightning: ") for line in err if line[:9] != "warning: "]
    if code != 2 or len(sentences) != 1:
        return f"exit code {code}, and {err}"
    if left:
        return f"left behind: {left}"
    [sentence] = sentences
    if said not in sentence or RAW.search(sentence) or not 10 < len(sentence) < 600:
        return f"{sentence!r} does not say {said!r} as one sentence"
    return None


def all_cases(random: Random) -> list[Case]:
    """Every case, made at once, since making them writes files."""
    kinds = [wrong_names, wrong_types, wrong_values, wrong_configs, wrong_data, contradictions]
    spell = speller(random)
    return [case for kind in [*kinds, wrong_commands] for case in kind(random, spell)]


def test_some_hundred_bad_configs_are_one_sentence_each(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of them; `make soak` tries all, spelt by the seed that it names here."""
    seed = os.environ.get("SOAK_SEED")
    random = Random(int(seed or 0))
    cases = all_cases(random)
    assert len(cases) > CASES
    chosen = cases if seed else random.sample(cases, CASES)
    wrong = {" ".join(args): complaint(args, said, capsys) for args, said in chosen}
    found = [f"{args}\n    {what}" for args, what in wrong.items() if what is not None]
    assert not found, f"{len(found)} of {len(chosen)}:\n" + "\n".join(found)
