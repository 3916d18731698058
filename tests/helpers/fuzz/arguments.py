"""Names, values and parts that are wrong."""

from __future__ import annotations

import inspect
import string
from collections.abc import Iterator
from random import Random
from typing import Any, get_args, get_origin

import numpy as np
from lightning.pytorch import Trainer

import ae_lightning.callbacks
from ae_lightning import (
    VariationalAutoEncoder,
    corruptions,
    likelihoods,
    nn,
    priors,
    regularizers,
    schedules,
)
from ae_lightning.cli.main import PLAIN_COMMANDS, TRAINER_COMMANDS
from ae_lightning.core.config_files import shipped
from helpers.fuzz.spelling import DATA, FIT, Case, Spell, written
from helpers.fuzz.values import NO_VALUE, RANGES, SAID


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


def wrong_types(random: Random, spell: Spell) -> Iterator[Case]:
    """Every argument of every part, with values of other types."""
    for slot, (module, base) in SLOTS.items():
        for name in classes(module, base):
            cls = getattr(module, name)
            given = inspect.signature(cls).parameters.values()
            if any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in given):
                continue  # what it needs is asked for first
            for argument, hint in parameters_of(cls).items():
                kinds = {hint, *get_args(hint)} & set(NO_VALUE)
                if not kinds or isinstance(get_origin(hint), type):  # a list, which [1] is
                    continue
                values = set.intersection(*({*NO_VALUE[kind]} for kind in kinds))
                value = random.choice(sorted(values - ({"null"} if "None" in str(hint) else set())))
                part = ["--" + slot, f"{module.__name__}.{name}"]
                yield [*FIT, *part, *spell(f"{slot}.{argument}", value)], argument


def wrong_values(random: Random, spell: Spell) -> Iterator[Case]:
    """Values of the right type that cannot be, and classes that do not fit."""
    for option, values in RANGES.items():
        for value in values:
            words = option.split(".")
            if option == "run":
                yield [*FIT, "--config", written({"run": value}, "run.yaml")], "run stands"
            else:
                yield [*FIT, *spell(option, value)], SAID.get(option, words[-1])


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
