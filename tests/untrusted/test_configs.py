"""A config from a stranger, or a flag, is one short sentence at once, whatever it would build."""

import os
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest

from ae_lightning import UsageError
from ae_lightning.cli.main import main
from ae_lightning.core import config_files
from helpers.attack import CANARY, command, harmless, one_sentence, watched

LETTERS = list(pairwise("abcdefghij"))
FLOW = ", ".join(f"{over}: &{over} [{', '.join([f'*{under}'] * 9)}]" for under, over in LETTERS)
LAUGHS = f"{{a: &a [{', '.join('x' * 9)}], {FLOW}}}"
MERGED = "a: &a {x: 1}\n" + "\n".join(
    f"{over}: &{over} {{<<: [{', '.join([f'*{under}'] * 9)}], y{over}: 1}}"
    for under, over in LETTERS
)
STEPS = "\n".join(f"a{i}: &a{i} " + "[" * 9 + f"*a{i - 1}" + "]" * 9 for i in range(1, 99))
CODE = f"{CANARY}.run"

# What a config holds, and what the sentence says of it besides the file's name; libyaml's own limit
# on nesting is met first where it has one.
ATTACKS: dict[str, tuple[str | bytes, str]] = {
    "aliases": (LAUGHS, "more than 10,000 values"),
    "merge keys": (MERGED, "more than 10,000 values"),
    "many keys": ("\n".join(f"k{i}: {i}" for i in range(100_000)), "holds"),
    "a long list": (f"a: [{', '.join('1' * 20_000)}]", "more than 10,000 values"),
    "deep lists": ("a: " + "[" * 10_000 + "]" * 10_000, "nesting|more than 50 levels"),
    "deep mappings": ("{a: " * 10_000, "more than 50 levels"),
    "deep by indents": ("\n".join(f"{' ' * n}a:" for n in range(1_000)), "more than 50 levels"),
    "deep by aliases": (f"a0: &a0 [1]\n{STEPS}", "more than 50 levels"),
    "itself": ("model: &a {init_args: *a}", "a contains itself"),
    "no int": ("a: !!int abc", "line 1 is not YAML: a value is no int"),
    "empty int": ("a: 1\nb: !!int ''", "line 2 is not YAML: a value is no int"),
    "no float": ("a: !!float x", "a value is no float"),
    "no truth": ("a: !!bool x", "a value is no bool"),
    "timestamp": ("a: !!timestamp x", "the tag !!timestamp is not one of plain values"),
    "binary": ("a: !!binary x", "!!binary"),
    "set": ("a: !!set {x}", "!!set"),
    "a call": (f"a: !!python/object/apply:{CODE} []", "!!python/object/apply"),
    "an object": (f"a: !!python/object:{CODE} {{}}", "!!python/object"),
    "a name": (f"a: !!python/name:{CODE} ''", "!!python/name"),
    "a module": (f"a: !!python/module:{CANARY} ''", "!!python/module"),
    "twice": ("data: {}\nmodel: {}\ndata: {}", "data stands twice"),
    "long text": (f"checkpoints: {{every_n_steps: {'x' * 100_000}}}", "more than 5,000 characters"),
    "long numbers": (f"a: {'9' * 4_500}", "more than 1,000 digits"),
    "long hexadecimals": (f"a: 0x{'f' * 4_500}", "more than 1,000 digits"),
    "large numbers": (f"trainer: {{devices: 1{'0' * 23}}}", "more than 64 bits"),
    "nul": ("a: \0", "control characters"),
    "latin": ("a: ü".encode("latin-1"), "not YAML"),
    "half a UTF-16": ("a: b".encode("utf-16")[:-1], "not YAML"),
    "documents": ("a: 1\n---\nb: 2", "another document"),
    "a lost alias": ("a: *b", "undefined alias"),
    "merged text": ("a: {<<: b}", "merging"),
    "a list as name": ("? [1]\n: 2", "unhashable"),
    "a number as name": ("trainer: {1: 2}", "has the name 1"),
    "null as name": ("null: 2", "has the name None"),
    "escapes": ('"\\e[31m": {"\\u202e": 1}\n2: 3', "has the name 2"),
    "trainer is a list": ("trainer: []", "trainer is []"),
    "trainer is null": ("trainer: null", "trainer is None"),
    "checkpoints are null": ("checkpoints: null", "checkpoints is None"),
    "text with aliases": (f"model: {{init_args: {{latent: '{LAUGHS}'}}}}", "10,000 values"),
    "a pipe": ("model: {init_args: {encoder: pipe}}", "model.init_args.encoder: pipe is a pipe"),
}
# What only the parser can tell, and what the sentence says.
SETTINGS = {
    "callbacks: [{}]": "trainer.callbacks.0 has no class",
    "callbacks: {}": "trainer.callbacks has no class",
    "callbacks: 3": "trainer.callbacks is 3",
    "callbacks: [null]": "trainer.callbacks is [None]",
    "callbacks: [[{class_path: EarlyStopping}]]": "trainer.callbacks",
    "callbacks: https://127.0.0.1:9/x.yaml": "trainer.callbacks is https://127.0.0.1:9/x.yaml",
    "devices: 999": "trainer.devices is 999: expected at most",
    f"devices: '{','.join('1' * 99)}'": "trainer.devices is 1,1",
    "devices: .nan": "trainer.devices is nan",
    "num_nodes: 1000": "trainer.num_nodes is 1000",
    "max_epochs: .inf": "trainer.max_epochs is inf",
    "max_steps: 1e30": "trainer.max_steps is 1e+30",
}
FLAGS = {
    "--model": (LAUGHS, "--model: it holds more than 10,000 values"),
    "--model.encoder": ("[" * 60, "model.encoder"),
    "--model.encoder.widths": (LAUGHS, "--model.encoder.widths: it holds"),
    "--trainer": ("pipe", "--trainer: pipe is a pipe"),
    "--model.latent": ("!!int abc", "--model.latent: a value is no int"),
    "--data.batch_size": ("9" * 4500, "--data.batch_size: a number has more than 1,000 digits"),
    "--trainer.max_steps": ("9" * 30, "trainer.max_steps has more than 64 bits"),
    "--trainer.devices": ("1" + "0" * 23, "trainer.devices"),
    "--trainer.callbacks": ("[{}]", "trainer.callbacks.0 has no class"),
    "--checkpoints.every_n_steps": ("null", "checkpoints.every_n_steps is None"),
    "--data.corruption": (f"!!python/object/apply:{CODE} []", "--data.corruption: the tag"),
    "--config": ("/dev/zero", "there is no config /dev/zero"),
    "--run": ("&a [*a]", "--run: a contains itself"),
}
FIT = ("fit", "--config", "vae", "--config", "digits")
QUICK = 3.0  # seconds of the processor; what is refused late takes minutes


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path(f"{CANARY}.py").write_text("def run(): ...")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that is refused at once and does no harm; return its sentence."""
    capsys.readouterr()
    began, before = time.process_time(), set(Path().iterdir())
    code, watch = command(*args, folder=Path.cwd())
    assert code == 2
    assert time.process_time() - began < QUICK
    harmless(watch)
    assert set(Path().iterdir()) == before
    return one_sentence(capsys.readouterr().err)


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What every command imports, so that it is not counted."""
    main([*FIT, "--trainer.max_epochs", "x"])


@pytest.mark.parametrize("name", ATTACKS)
def test_a_config_that_would_build_too_much_or_else_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, said = ATTACKS[name]
    file = Path("config.yaml")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    sentence = refused(capsys, *FIT, "--config", "config.yaml")
    assert "config.yaml" in sentence
    assert any(words in sentence for words in said.split("|"))
    error, _ = watched(lambda: config_files.read("config.yaml"))
    assert isinstance(error, UsageError)


@pytest.mark.parametrize("value", ["0.5", "true", "[1]", "{init_args: 3}"])
def test_nothing_else_takes_the_place_of_a_part(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_text(f"model: {{init_args: {{encoder: {value}}}}}")
    assert re.search(r"encoder(\.init_args)? is ", refused(capsys, *FIT, "--config", "config.yaml"))


def test_a_config_is_a_file_of_a_sane_size(capsys: pytest.CaptureFixture[str]) -> None:
    with open("large.yaml", "wb") as file:
        file.truncate(200_000_000)
    assert "large.yaml holds 200,000,000 bytes" in refused(capsys, *FIT, "--config", "large.yaml")
    for name in ("pipe", "/dev/zero", "."):
        assert name in refused(capsys, *FIT, "--config", name)
    assert "large.yaml" in refused(capsys, "plot", "large.yaml", "--data", "large.yaml")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_of_the_trainer_that_no_run_can_have_is_refused(
    setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.yaml").write_text(f"trainer: {{{setting}}}")
    assert SETTINGS[setting] in refused(capsys, *FIT, "--config", "config.yaml")


@pytest.mark.parametrize("option", FLAGS)
def test_a_flag_is_no_way_around(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    value, said = FLAGS[option]
    for given in ([option, value], [f"{option}={value}"]):
        assert said in refused(capsys, *FIT, *given)


def test_yaml_is_read_as_people_mean_it(tmp_path: Path) -> None:
    texts = {
        "a: 1e-3": 0.001,
        "a: 2020-01-01": "2020-01-01",
        "a: 1:30": "1:30",
        "a: .5": 0.5,
        "a: 1_000": 1000,
        "a: -.inf": float("-inf"),
        "a: 0x1F": 31,
        "a: yes": True,
        "a: ~": None,
        "a: =": "=",
        "\ufeffa: ü": "ü",
        "b: &b {c: 1}\na: {<<: *b, c: 2}": {"c": 2},
        "b: &b [1]\na: [*b, *b]": [[1], [1]],
    }
    for text, meant in texts.items():
        for encoding in ("utf-8", "utf-16"):
            (tmp_path / "plain.yaml").write_text(text, encoding=encoding)
            assert config_files.read("plain.yaml")["a"] == meant
