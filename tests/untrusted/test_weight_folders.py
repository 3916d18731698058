"""A folder of weights that a stranger changed is refused in one sentence, or does no harm."""

from __future__ import annotations

import json
import math
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import safetensors
import torch
from packaging.version import Version
from safetensors.torch import load_file, save, save_file
from untrusted.mutations import CLASS, DROPPED, ODD, named, places, replaced

from ae_lightning import UsageError, load
from ae_lightning.cli.main import main
from ae_lightning.inference import export
from ae_lightning.inference.weight_folders import DESCRIPTION, MOST_HEADER, MOST_JSON, WEIGHTS
from helpers.attack import CANARY, command, harmless, one_sentence, watched
from helpers.weight_folders import described, entry, resealed, rewritten, with_header

PARTS = ("model_parts", "init_args")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as safetensors and JSON."""
    folder = tmp_path_factory.mktemp("good")
    small = ["--data.size", "100", "--data.val_size", "20", "--data.batch_size", "40"]
    widths = ["--model.encoder.widths", "[3]", "--model.decoder.widths", "[3]"]
    args = ["--config", "vae", "--config", "manifold", *small, *widths]
    assert main(["fit", *args, "--trainer.max_epochs", "1", "--run", str(folder / "run")]) == 0
    return export(folder / "run", folder / "model", to="safetensors")


@pytest.fixture
def here(good: Path, tmp_path: Path) -> Path:
    """A folder with a copy of it, and a module that tells."""
    shutil.copytree(good, tmp_path / "model")
    (tmp_path / f"{CANARY}.py").write_text("class Thing: pass")
    return tmp_path


def loaded(here: Path) -> str:
    """Load the folder; return the sentence that refuses it, or "". No harm is done."""
    result, watch = watched(lambda: load(here / "model"))
    harmless(watch, here)
    if not isinstance(result, UsageError):
        return ""
    said = str(result)
    assert len(said) <= 440, said
    assert said.isprintable(), said
    return said


def as_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


JSON = {"dropped": DROPPED} | {w: v for w, v in ODD.items() if w != "multiplying" and as_json(v)}


@pytest.mark.parametrize("part", range(4))
def test_every_mutation_of_the_description_is_refused_or_loads_unharmed(
    good: Path, here: Path, part: int
) -> None:
    tree = described(good)
    table = [(place, what) for place in places(tree) for what in JSON]
    Random(part).shuffle(table)
    refused = 0
    for place, what in table[:80]:
        rewritten(here, replaced(tree, place, JSON[what]))
        try:
            refused += bool(loaded(here))
        except Exception as error:
            error.add_note(named(place, what))
            raise
    assert refused > 25


FAR = 10**400
# A place, what stands there, a word of why.
TABLE: list[tuple[tuple[Any, ...], Any, str]] = [
    (("ae_lightning_format",), 2, "this version of ae-lightning reads format 1 only"),
    (("ae_lightning_format",), DROPPED, "has no format number"),
    (("model_parts",), DROPPED, "model_parts"),
    (("model_parts",), [], "model_parts"),
    (("model_parts", "class_path"), CLASS, f"--trust {CANARY}"),
    (("model_parts", "class_path"), "ae_lightning.nn.mlp.MLP", "not a Model"),
    (("model_parts", "class_path"), "os.system", "--trust os"),
    ((*PARTS, "encoder", "class_path"), CLASS, f"--trust {CANARY}"),
    ((*PARTS, "encoder", "class_path"), "ae_lightning.nn.torch.hub.load", "torch"),
    ((*PARTS, "encoder", "class_path"), "ae_lightning.__main__.main", "class's path"),
    ((*PARTS, "encoder", "class_path"), 3, "class's path"),
    ((*PARTS, "encoder", "init_args", "widths"), [10**9], "does not fit the model"),
    ((*PARTS, "encoder", "init_args", "widths"), [1] * 10**5, "values"),
    ((*PARTS, "encoder", "init_args", "dropout"), math.nan, "nan"),
    ((*PARTS, "latent"), 10**12, "does not fit the model"),
    ((*PARTS, "latent"), FAR, "bits"),
    ((*PARTS, "latent"), "16", "latent"),
    ((*PARTS, "latent"), 0, "latent"),
    ((*PARTS, "shape"), [2, 10**9], "does not fit the model"),
    ((*PARTS, "unknown"), 3, "unknown"),
    (("clock",), [1, 2], "clock"),
    (("clock",), [FAR] * 4, "bits"),
    (("global_step",), -1, "global_step"),
    (("global_step",), 1.5, "global_step"),
    (("figures",), {"val/loss": "good"}, "figures"),
    (("classes",), [3], "classes"),
    (("classes",), ["a"] * 10**5, "values"),
    (("config",), [], "config"),
    (("versions",), {"torch": 3}, "versions"),
    (("datamodule_hyper_parameters",), [1], "datamodule_hyper_parameters"),
    (("datamodule_hyper_parameters", "class_path"), CLASS, f"--trust {CANARY}"),
    (("sha256",), "0" * 64, "is damaged, or not the file"),
    (("sha256",), "../" * 9, "sha256"),
    (("sha256",), DROPPED, "sha256"),
]


def test_what_no_model_can_be_made_of_is_refused(good: Path, here: Path) -> None:
    tree = described(good)
    for place, value, why in TABLE:
        rewritten(here, replaced(tree, place, value))
        said = loaded(here)
        assert why in said, (place, value, said)


TEXTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not JSON"),
    "a list": (b"[]", "its content is []"),
    "a number": (b"3", "its content is 3"),
    "deep": (b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}", "nested"),
    "rather deep": (b'{"a":' + b"[" * 400 + b"]" * 400 + b"}", "nested more than 50 deep"),
    "long digits": (b'{"clock": ' + b"9" * 10**5 + b"}", "is not JSON"),
    "not text": (b"\xff\xfe" * 9, "is not text of UTF-8"),
    "cut short": (b'{"ae_lightning_format": 1, "mod', "is not JSON"),
    "large": (b" " * (MOST_JSON + 1), f"expected at most {MOST_JSON:,}"),
    "half a character": (b'{"ae_lightning_format": "\\ud800\x1b"}', "is not JSON"),
    "a lone surrogate": (b'{"ae_lightning_format": "\\ud800"}', "is of format"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_what_is_no_description_is_refused(case: str, here: Path) -> None:
    text, why = TEXTS[case]
    (here / "model" / DESCRIPTION).write_bytes(text)
    assert why in loaded(here)


NO_SAFETENSORS = "is not safetensors"
# A kind of number that safetensors knows since 0.7.
COMPLEX = "C64" if Version(safetensors.__version__) >= Version("0.7") else NO_SAFETENSORS
WEIGHT_BYTES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", NO_SAFETENSORS),
    "no header": (b"\0" * 8, NO_SAFETENSORS),
    "text": (b"text" * 9, NO_SAFETENSORS),
    "a pickle": (b"\x80\x02cos\nmkdir\n(S'owned'\ntR.", NO_SAFETENSORS),
    "a long header": (with_header(b"{}", length=MOST_HEADER + 1), "its header of"),
    "a huge header": (with_header(b"{}", length=2**64 - 1), "its header of"),
    "a header beyond the end": (with_header(b"{}", length=MOST_HEADER), NO_SAFETENSORS),
    "no JSON": (with_header(b"{" * 99), NO_SAFETENSORS),
    "deep JSON": (with_header(b'{"a":' * 10**5), NO_SAFETENSORS),
    "a list": (with_header(b"[]"), NO_SAFETENSORS),
    "no tensors": (with_header(b"{}"), "there is no"),
    "values beyond the end": (with_header(entry()), NO_SAFETENSORS),
    "a huge shape": (
        with_header(entry(shape=[10**9] * 3, data_offsets=[0, 4 * 10**27])),
        NO_SAFETENSORS,
    ),
    "overflow": (with_header(entry(shape=[2**33, 2**33]), b"\0" * 8), NO_SAFETENSORS),
    "negative": (with_header(entry(data_offsets=[-8, 0]), b"\0" * 8), NO_SAFETENSORS),
    "values left over": (with_header(entry(), b"\0" * 80), NO_SAFETENSORS),
    "a kind of number": (with_header(entry(dtype="C64", shape=[1]), b"\0" * 8), COMPLEX),
    "no kind of number": (with_header(entry(dtype="PICKLE"), b"\0" * 8), NO_SAFETENSORS),
}


@pytest.mark.parametrize("case", WEIGHT_BYTES)
def test_what_is_no_safetensors_is_refused(case: str, here: Path) -> None:
    content, why = WEIGHT_BYTES[case]
    (here / "model" / WEIGHTS).write_bytes(content)
    resealed(here)
    assert why in loaded(here)


TENSORS: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "another shape": (lambda x: torch.zeros(3), "is of shape (3,): expected (2,)"),
    "not finite": (lambda x: torch.tensor([1.0, math.nan]), "is not finite"),
    "whole numbers": (lambda x: x.long(), "is of type torch.int64"),
    "eight bits": (lambda x: x.to(torch.float8_e4m3fn), "F8_E4M3"),
    "gone": (lambda x: None, "there is no encoder.mean"),
    "half": (lambda x: x.half(), ""),
}


@pytest.mark.parametrize("case", TENSORS)
def test_other_weights_are_refused(case: str, here: Path) -> None:
    change, why = TENSORS[case]
    tensors = load_file(here / "model" / WEIGHTS)
    tensors["encoder.mean"] = change(tensors["encoder.mean"])
    kept = {name: x.clone() for name, x in tensors.items() if x is not None}
    save_file(kept, here / "model" / WEIGHTS)
    resealed(here)
    said = loaded(here)
    assert why in said
    assert bool(why) == bool(said)


def test_a_weight_of_an_odd_name_is_refused(here: Path) -> None:
    tensors = load_file(here / "model" / WEIGHTS)
    odd = {"\x1b[2J" * 999: torch.ones(1)}
    (here / "model" / WEIGHTS).write_bytes(save(tensors | odd))
    resealed(here)
    assert "the model has no \\x1b[2J" in loaded(here)


@pytest.mark.parametrize("at", [0, 9, 300, -1])
def test_a_flipped_bit_is_seen(here: Path, at: int) -> None:
    file = here / "model" / WEIGHTS
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    assert "damaged" in loaded(here) or "header" in loaded(here)


def gone(file: Path) -> None:
    file.unlink()


def instead(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def attack(file: Path) -> None:
        file.unlink()
        make(file)

    return attack


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
@pytest.mark.parametrize(
    "attack",
    [
        *(instead(os.mkfifo), instead(os.mkdir), instead(lambda f: f.symlink_to("/dev/zero"))),
        *(instead(lambda f: f.symlink_to("nowhere")), gone),
    ],
    ids=["a pipe", "a folder", "zeros without end", "a link to nothing", "gone"],
)
def test_what_is_no_regular_file_is_refused(
    name: str, attack: Callable[[Path], None], here: Path
) -> None:
    attack(here / "model" / name)
    said = loaded(here)
    if attack is gone and name == DESCRIPTION:
        assert "is not a run" in said
    else:
        assert "is not a regular file" in said or "cannot be read: " in said


def test_sizes_that_a_stranger_wrote_take_no_memory(good: Path, here: Path) -> None:
    """A model of 400 MB, with a file of weights of that size, which holds nothing."""
    tree = replaced(described(good), (*PARTS, "encoder", "init_args", "widths"), [10**8])
    rewritten(here, tree)
    with (here / "model" / WEIGHTS).open("wb") as file:
        file.write(with_header(entry(shape=[10**8], data_offsets=[0, 4 * 10**8])))
        file.truncate(file.tell() + 4 * 10**8)
    resealed(here)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "does not fit the model: there is no" in loaded(here)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("way", [["encode", "model", "--out", "c.csv"], ["export", "model"]])
def test_commands_say_one_sentence(
    way: list[str], good: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, tree = Random(0), described(good)
    more = ["--to", "safetensors", "--out", "again"] if way[0] == "export" else ["--limit", "3"]
    for _ in range(8):
        place = random.choice(list(places(tree)))
        rewritten(here, replaced(tree, place, JSON[random.choice(sorted(JSON))]))
        capsys.readouterr()
        code, watch = command(*way, *more, "--force", folder=here)
        harmless(watch, here)
        said = capsys.readouterr().err
        assert code in (0, 2), said
        if code:
            one_sentence(said)
