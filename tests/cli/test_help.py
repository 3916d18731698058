"""Help: a first screen that is enough for most, and the rest by its section."""

import subprocess
import sys
from pathlib import Path

import pytest

from ae_lightning.cli.main import PLAIN_COMMANDS, TRAINER_COMMANDS, main
from ae_lightning.cli.pages import FIRST, TRAINER
from ae_lightning.core.config_files import kind_and_purpose, shipped
from helpers.attack import one_sentence
from helpers.interpreter import python


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(args) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", TRAINER_COMMANDS)
def test_the_first_screen_fits_and_says_how_to_see_the_rest(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = shown(capsys, command, "--config", "vae", "--help")
    assert len(page.splitlines()) < 40
    assert max(map(len, page.splitlines())) <= 80
    assert f"{command} --help trainer" in page
    assert f"{command} --help all" in page
    for name in shipped():
        assert f" {name}" in page


def test_the_overviews_are_no_wider_than_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shown(capsys, "configs")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    listed = shown(capsys, "configs")
    assert listed.split() == whole.split()
    assert max(map(len, (listed + shown(capsys, "--help")).splitlines())) <= 80


def test_a_config_is_one_line_where_none_looks(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "configs").splitlines()
    for name, file in shipped().items():
        (line,) = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith(kind_and_purpose(file)[1])


def test_the_first_screen_has_what_people_set(capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, "fit", "--help")
    wanted = "config run resume model data max_epochs devices precision logger"
    assert all(f"--{n} " in page or f".{n} " in page for n in wanted.split())


@pytest.mark.parametrize("command", TRAINER_COMMANDS)
def test_every_option_of_the_first_screen_is_one_of_the_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = shown(capsys, command, "--help", "all")
    for option in (*FIRST[command], *TRAINER):
        assert f"  {option.split()[0]}" in page or option.split()[0] == "--config"


def test_a_section_is_shown_whole_and_alone(capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, "fit", "--help", "trainer")
    assert "--trainer.accumulate_grad_batches" in page
    assert "--checkpoints" not in page
    assert ":paramref:" not in page
    assert "``" not in page
    assert main(["fit", "--help", "trainr"]) == 2
    assert "did you mean trainer?" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("command", ["validate", "test"])
def test_a_class_is_explained_without_a_checkpoint(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--model.latent" in shown(capsys, command, "--model.help", "VariationalAutoEncoder")


@pytest.mark.parametrize("command", PLAIN_COMMANDS)
def test_a_plain_commands_help_is_no_docstring(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = shown(capsys, command, "--help")
    assert not any(mark in page for mark in ("Args:", "Raises", "UsageError", "<class"))


def test_the_first_screens_come_without_torch() -> None:
    code = "import sys; from ae_lightning.cli.main import main; main(['fit', '--help'])"
    assert python("-c", f"{code}; print('torch' in sys.modules)").endswith("False\n")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("fi", {"fit"}),
        ("fit --config m", {"manifold", "mnist"}),
        ("fit --model Var", {"VariationalAutoEncoder"}),
        ("fit --data Num", {"NumpyFile"}),
        ("fit --trainer.max_e", {"--trainer.max_epochs"}),
        ("fit --model.lat", {"--model.latent"}),
        ("test --ck", {"--ckpt_path"}),
    ],
)
def test_bash_completes_what_is_being_typed(words: str, found: set[str], script: Path) -> None:
    typed = f"COMP_WORDS=(ae-lightning {words}); COMP_CWORD={len(words.split())}"
    command = f'source {script}; {typed}; _ae_lightning; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == found


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shell") / "completion.bash"
    file.write_text(python("-m", "ae_lightning", "completion", "bash"))
    return file
