"""The entry of the command line: dispatch to a command, and load torch only if it needs it."""

import errno
import os
import re
import signal
import sys
import traceback
from argparse import ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from inspect import getfullargspec
from pathlib import Path
from typing import Final, NoReturn, get_type_hints

from ae_lightning.core.config_files import unreadable
from ae_lightning.core.errors import TrainingError, UsageError, printable
from ae_lightning.core.files import path_of
from ae_lightning.core.printing import abandon_stdout, beside, show_warnings, tell, use_streams
from ae_lightning.core.signals import raising_at_sigterm
from ae_lightning.core.trust import trust

TRAINER_COMMANDS: Final = {
    "fit": "train a system on a data set: --config vae --config digits",
    "validate": "figures of the validation set: --run DIR",
    "test": "figures of the test set, likewise",
}
# Each is a plain typed function, in the module of its name in ae_lightning.cli.
PLAIN_COMMANDS: Final = {
    "configs": "list the shipped configs, or print one: configs [NAME]",
    "summary": "what a run has reached, and where its files lie",
    "encode": "the codes of one's own files: encode MODEL DATA --out codes.csv",
    "reconstruct": "r(x) of one's own images: reconstruct MODEL DATA --out DIR",
    "denoise": "noisy images without the noise: denoise MODEL DATA --out DIR",
    "sample": "what a model makes up, and a grid: sample MODEL -n 64 --out DIR",
    "traverse": "what each dimension does: traverse MODEL [FILE] --out film.gif",
    "interpolate": "what lies between two files: interpolate MODEL A B --out film.gif",
    "export": "a model for other programs: export MODEL --to onnx|torch|safetensors --out DIR",
    "push": "a model to the Hugging Face Hub: push MODEL NAME/REPO",
    "pull": "a model from there: pull NAME/REPO --out DIR",
    "detect": "which files are unlike: detect MODEL DATA --calibrate CLEAN --out scores.csv",
    "evaluate": "likelihood, probes and more: evaluate MODEL [--data mnist]",
    "compare": "runs side by side: compare RUN RUN … [--to markdown]",
    "plot": "pictures of a checkpoint, and a page of them: plot CKPT [NAME …]",
    "explore": "a page in the browser to play with a model: explore MODEL [DATA]",
    "optimize": "write a folder of images as chunks to stream: optimize FOLDER OUT",
    "completion": "what completes this in a shell: completion bash >> ~/.bashrc",
    "theory": "prove the claims of the notes: theory [CLAIM …] [--report DIR]",
}
READING: Final = "reading"  # the argument of commands that read image files

# What launchers tell a process of its place among others.
RANKS: Final = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
)

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # a disk, say that of stdout

OPTIONS: Final = {
    "--config NAME": "a shipped config or a file; several add up, left to right",
    "--run DIR": "the run's directory; by default, fit makes runs/<system>-<data>-<n>",
    "--resume [auto]": "fit: continue the run in --run DIR; auto: or start it there",
    "--ckpt_path FILE": "validate, test: this checkpoint, with its model and its data",
    "--trust MODULE": "let a run or a checkpoint name classes of your own, as by --trust my_lab",
    "--data_changed accept": "take data that are not those of the checkpoint",
    "--debug": "show where an error arose",
    "--help": "a command's options; --help all: every one of them",
    "--model.… --data.… --trainer.…": "override the configs, as LightningCLI does",
}
EXAMPLE: Final = "ae-lightning fit --config vae --config mnist --model.latent 8"


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for a wrong use, 1 for anything unexpected."""
    use_streams()
    command, *rest = [*(sys.argv[1:] if args is None else args)] or ["--help"]
    show_warnings([] if "--debug" in rest else sys.warnoptions)
    if command in ("-h", "--help", "help"):
        tell(*usage())
        return 0
    if command == "--version":
        tell(f"ae-lightning {version('ae-lightning')}")
        return 0
    known = [*TRAINER_COMMANDS, *PLAIN_COMMANDS]
    if command not in known:
        close = get_close_matches(command, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(known)}."
        return fail(f"unknown command {command!r}: {hint}")
    try:
        run(command, rest)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has read enough
        abandon_stdout()
        return 128 + signal.SIGPIPE
    except (UsageError, TrainingError) as error:
        if "--debug" in rest:
            traceback.print_exc()
        return fail(str(error), code=2 if isinstance(error, UsageError) else 1)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        return fail("interrupted: what was whole is kept, and nothing is half written.", code=130)
    except Exception as error:
        if "--debug" in rest:
            raise
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            abandon_stdout()
            return fail(f"what is printed cannot be written: {error.strerror}.", code=1)
        from ae_lightning.cli.messages import known_failure  # torch is loaded by now

        if sentence := known_failure(error):
            return fail(sentence)
        name, text = type(error).__name__, " ".join(str(error).split())
        where = ", ".join([*getattr(error, "__notes__", []), "--debug shows where"])
        return fail(f"unexpected {name}: {text} ({where})", code=1)
    return 0


def fail(sentence: str, code: int = 2) -> int:
    """Say on stderr what is wrong, and return the exit code."""
    with suppress(OSError):  # the exit code tells as much
        tell(f"ae-lightning: {printable(sentence)}", file=sys.stderr)
    return code


def usage() -> list[str]:
    """The front page's lines."""
    title = "ae-lightning COMMAND …: autoencoders as one objective"
    commands = beside(TRAINER_COMMANDS | PLAIN_COMMANDS, 15)
    options = ["options of fit, validate and test:", *beside(OPTIONS, 20)]
    return [title, "", *commands, "", *options, "", f"for example: {EXAMPLE}"]


def run(command: str, args: list[str]) -> None:
    """Load what a command needs, and run it."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise UsageError("the working directory is gone: change to one that exists.") from None
    # Users' own parts lie here; appended, so that installed packages win over them.
    if here not in sys.path:
        sys.path.append(here)
    for option, value in zip(["", *args], args, strict=False):
        name, equals, text = value.partition("=")
        if wrong := unreadable(text if equals and name[:2] == "--" else value):
            named = name if equals else option
            raise UsageError(f"{named}: {wrong}." if named.startswith("-") else f"{wrong}.")
    for name in RANKS:  # which Lightning reads as it is imported
        if not re.fullmatch(r"\d{1,9}", value := os.environ.get(name, "0")):
            raise UsageError(f"the environment says that {name} is {value}: expected a number.")
    os.environ["MPLBACKEND"] = "agg"  # pictures are files: no window is wanted, nor a screen
    if command in PLAIN_COMMANDS:
        # What is half written is then removed.
        with raising_at_sigterm(lambda signum: SystemExit(128 + signum)):
            call(getattr(import_module(f"ae_lightning.cli.{command}"), command), args)
        return
    from ae_lightning.cli import pages

    if (asked := pages.asked_for(args)) == "":
        tell(*pages.first_screen(command, TRAINER_COMMANDS[command]).splitlines())
        return
    own, flags = settled(command, args if asked is None else [])
    from ae_lightning.cli.checkpoint_commands import Evaluate
    from ae_lightning.cli.fit import Fit

    def carry_out(flags: list[str]) -> object:
        return Fit(own, flags) if command == "fit" else Evaluate(command, own, flags)

    if asked is None:
        carry_out(flags)
    else:
        tell(*pages.section(asked, lambda: carry_out(["--help"])).splitlines())


def settled(command: str, args: list[str]) -> tuple[Namespace, list[str]]:
    """Parse the options that say what else to parse; return the others as they were given."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    parser.add_argument("--run", type=path)
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--trust", action="append", default=[])
    parser.add_argument("--data_changed", choices=("refuse", "accept"), default="refuse")
    if command == "fit":
        parser.add_argument("--resume", nargs="?", const="always", choices=("always", "auto"))
    else:
        parser.add_argument("--ckpt_path", type=path)
    try:
        own, flags = parser.parse_known_args(args)
    except ArgumentError as error:
        name = error.argument_name or ""
        raise UsageError(f"{name.split('/')[-1]}: {error.message}.") from None
    for name in own.trust:
        trust(name)
    return own, flags


def path(text: str) -> Path:
    """The path that an option gives."""
    try:
        return path_of(text, "the path")
    except UsageError as error:
        raise ArgumentTypeError(str(error).rstrip(".")) from None


def call(function: Callable[..., None], args: list[str]) -> None:
    """Call a plain function with the arguments that its signature asks for."""
    import jsonargparse
    from docstring_parser import parse
    from jsonargparse.typing import register_type

    from ae_lightning.cli.formatting import HelpFormatter
    from ae_lightning.cli.messages import (
        MARK,
        OneSentence,
        ParseFailure,
        actions_of,
        nearest_option,
    )

    class Parser(OneSentence, jsonargparse.ArgumentParser):
        """Jsonargparse's parser, which raises one sentence."""

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            super().error(message.replace(f'"{READING}.', '"data.'), ex)

    register_type(Path, str, path_of)
    page = parse(function.__doc__ or "")
    described = {argument.arg_name: argument.description for argument in page.params}
    text = " ".join(filter(None, [page.short_description, page.long_description]))
    name = f"ae-lightning {function.__name__}"
    listed = getattr(function, "listed", lambda: None)()
    parser = Parser(prog=name, description=text, epilog=listed, formatter_class=HelpFormatter)
    parser.add_argument("--debug", action="store_true", help="show where an error arose")
    parser.add_argument("--trust", action="append", default=[], help="a package to import")
    signature = getfullargspec(function)
    optional = signature.args[len(signature.args) - len(signature.defaults or ()) :]
    kinds = get_type_hints(function)
    switches = [name for name in signature.kwonlyargs if kinds[name] is bool]
    letters = [name for name in signature.kwonlyargs if len(name) == 1]
    apart: set[str | int] = {*optional, *switches, *letters, READING}
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=apart)
    for name in switches:
        parser.add_argument(f"--{name}", action="store_true", help=described.get(name))
    for name in letters:
        default = (signature.kwonlydefaults or {}).get(name)
        options = {"default": default, "type": kinds[name], "help": described.get(name)}
        parser.add_argument(f"-{name}", f"--{name}", **options)
    for name in optional:
        parser.add_argument(name, nargs="?", type=str, default=None, help=described.get(name))
    if signature.varargs:
        help = described.get(signature.varargs)
        parser.add_argument(signature.varargs, nargs="*", type=str, default=[], help=help)
    if reads := READING in signature.kwonlyargs:
        from ae_lightning.cli.reading_options import add_reading, reading_of

        add_reading(parser, READING)
    known = [option for action in actions_of(parser) for option in action.option_strings]
    for name in (word.partition("=")[0] for word in args):
        # The parser would take --data.bit for a part of DATA.
        if name.startswith("--") and "." in name and name not in known:
            hint = nearest_option(name, [option.lstrip("-") for option in known])
            raise UsageError(f"{function.__name__}: {name} is not an option: {hint}")
    try:
        given = parser.parse_args(args)
    except ParseFailure as failure:
        raise UsageError(f"{function.__name__}: {str(failure).replace(MARK, '')}") from failure
    for name in given.trust:
        trust(name)
    several = given[signature.varargs] if signature.varargs else ()
    named = {name: given[name] for name in signature.kwonlyargs}
    if reads:
        named[READING] = reading_of(given[READING])
    function(*(given[name] for name in signature.args), *several, **named)
