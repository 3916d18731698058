"""One sentence for whatever the parser, the building of parts, or Lightning refuses."""

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import reduce
from inspect import isabstract, isclass
from operator import or_
from textwrap import shorten
from typing import Any, Final, Literal, NoReturn, get_args, get_origin

from ae_lightning.core.errors import closest, nearest
from ae_lightning.core.private_names import private

MANY: Final = 24  # names, which would be no answer
MARK: Final = "\x1f"  # between the name of an option and what is wrong with it
FRIENDLY: Final[dict[Any, str]] = {
    **{bool: "true or false", int: "a whole number", float: "a number", str: "text"},
    **dict.fromkeys((list, tuple, Sequence, Iterable), "a list"),
    dict: "names with values",
}
ITEMS: Final[dict[Any, str]] = {int: "whole numbers", float: "numbers", str: "texts"}
# The parser's lines that say where something is wrong, or less than the type of the option does.
LESS: Final = re.compile(
    r"Parser key|Does not validate|Subtypes|Errors:|G(ot|iven) value|Expected a |Not a valid|"
    r"Subclass types|a class path|a dict with|Import path|Problem with|Type coll|.*no attribute"
)
LR_SCHEDULERS: Final = "torch.optim.lr_scheduler"
LOOKUP: Final = "torch.nn.modules.module"  # raises if one asks a model for what it lacks
LOST_READER: Final = r"DataLoader worker \(pid.*\) (exited|is killed)"
TOO_LARGE: Final = r"(allocate|enough|out of) memory|(lcul|tipl)\w+ overflow|numel: int|unpacking l"

private("argparse:ArgumentParser", "_actions")
private("jsonargparse._typehints:ActionTypeHint", "_typehint")


class ParseFailure(Exception):
    """What a parser refuses: the option, `MARK`, and what is wrong with it."""


class OneSentence:
    """Make a parser raise one sentence; an outer parser quotes that of the one within it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise ParseFailure(condensed(message, dict(options_of(self)))) from ex


def options_of(parser: Any) -> Iterator[tuple[str, Any]]:
    """The options of a parser and its subcommands, and their types."""
    for action in actions_of(parser):
        for name in action.option_strings or [action.dest]:
            if not re.fullmatch(r"-\w|-*(help|print_\w+|.*\.help)", name):
                yield name.lstrip("-"), getattr(action, "_typehint", None)


def actions_of(parser: Any) -> Iterator[Any]:
    """The actions of a parser and its subcommands."""
    for action in parser._actions:
        yield action
        for inner in action.choices.values() if isinstance(action.choices, dict) else ():
            yield from actions_of(inner)


def whole_numbers_first(parser: Any) -> None:
    """Have every option that takes whole numbers and others read 3 as 3, and not as 3.0.

    The types of an Optional[Union[int, float]] may stand in either order, since typing returns one
    that it made earlier, for whoever came first, and takes the two for equal.
    """
    for action in actions_of(parser):
        kinds = list(get_args(getattr(action, "_typehint", None)))
        if {int, float} <= set(kinds) and kinds.index(float) < kinds.index(int):
            i, j = kinds.index(float), kinds.index(int)
            kinds[i], kinds[j] = int, float
            action._typehint = reduce(or_, kinds)


def condensed(message: str, options: Mapping[str, Any]) -> str:
    """The option, `MARK`, and what is wrong with it, from the parser's many lines."""
    if found := re.match(r"unrecognized arguments: (\S+)|.*ption '([^']+)'", message):
        name = (found[1] or found[2]).partition("=")[0]
        return f"{name}{MARK} is not an option: {nearest_option(name, [*options])}"
    if found := re.match(r"-*(\S+)\.help: (?:.*string: (\S+)|(.+))", message):
        kind, value = found[1], found[2] and f" is {found[2]}"
        return (
            f"{kind}.help{MARK}{value or ''}: {found[3] or expected(options.get(kind), found[2])}"
        )
    if found := re.match(r".*required: (.+)", message):
        hint = ", as by --config vae --config digits" * ("fit." in message)
        return f"{found[1].replace('fit.', '--')}{MARK} must be given{hint}."
    if found := re.match(r"argument (?:-\w/)?(\S+): (.+)", message):
        return f"{found[1]}{MARK}: {found[2]}."
    key = found[1] if (found := re.match(r'Parser key "([^"]+)"', message)) else ""
    before, _, after = message.partition(MARK)
    name, wrong = (before.split()[-1:] or [""])[0] if after else "", after.partition("\n")[0]
    if name and re.search(r"Given value: (\[|\{(?!'class_path'))", message):
        name = f"*.{name}"  # in one of several parts
    *_, name = [name, *re.findall(r"NestedArg\(key='(.*?)'", message)]
    name = ".".join(filter(None, [key, name]))
    return f"{name}{MARK}{wrong or wrong_value(message, options.get(key))}"


def nearest_option(name: str, known: list[str]) -> str:
    """The nearest option to a name, or all of them if they are few."""
    bare = name.lstrip("-")
    dashes, (head, dot, rest) = name[: -len(bare)], bare.partition(".")
    heads, tails = ({option.split(".")[i]: option for option in known} for i in (0, -1))
    if head not in heads and (close := closest(head, heads)):
        return f"did you mean {dashes}{close}{dot}{rest}?"
    if close := closest(bare, known) or tails.get(closest(bare, tails) or ""):
        return f"did you mean {dashes}{close}?"
    return "--help lists all." if len(known) > MANY or dashes else nearest(bare, heads)


def wrong_value(message: str, hint: Any) -> str:
    """A value, and the parser's innermost line about it or what the option's type allows."""
    values = re.findall(r"(?:G(?:ot|iven) value|path string): (.*)", message)
    shown = re.compile(r"NestedArg\(.*?val=(.*)\)|\{'class_path': ('[^']*').*")  # a value, a class
    value = shown.sub(r"\1\2", "".join(values[-1:])).strip("'")
    told = f" is {shorten(value, 160, placeholder='…') or 'empty'}" if values else ""
    lines = [line.strip(" -.") for line in message.splitlines()]
    said = [f"{line}." for line in lines if line and not LESS.match(line)]
    return f"{told}: {said[-1] if said else expected(hint, value)}"


def expected(hint: Any, value: str) -> str:
    """The nearest right name to a value, or what a type allows.

    >>> expected(int | None, "many"), expected(Literal["min", "max"], "mn")
    ('expected a whole number.', 'did you mean min?')
    >>> from ae_lightning.schedules import Linear
    >>> expected(float | Linear, "four")
    'expected a number or one of Linear.'
    >>> expected(tuple[int, ...], "1.5"), expected(tuple[float, float] | None, "3")
    ('expected a list of whole numbers.', 'expected a list of 2 numbers.')
    """
    allowed = dict.fromkeys(members(hint))
    classes = [k for kind in allowed.keys() - FRIENDLY if isclass(kind) for k in family(kind)]
    names = [kind for kind in allowed if isinstance(kind, str)] + [k.__name__ for k in classes]
    given = {word.rpartition(".")[2] for word in re.findall(r"[\w.-]+", value)} - {*names}
    if close := [c for word in given if (c := closest(word, names))]:
        return f"did you mean {close[0]}?"
    simple = [FRIENDLY[kind] for kind in allowed if kind in FRIENDLY and kind is not str]
    wanted = value in given if classes else not allowed.keys() & FRIENDLY.keys()
    if wanted and 0 < len(names) <= MANY:
        return nearest(value, names).replace("expected ", "expected " + " or ".join([*simple, ""]))
    origins = {get_origin(kind): kind for kind in (hint, *get_args(hint))}
    lists = {k: of_items(of) for k, of in origins.items() if FRIENDLY.get(k) == "a list"}
    words = [
        FRIENDLY.get(kind, getattr(kind, "__name__", kind)) + lists.get(kind, "")
        for kind in allowed
    ]
    return f"expected {' or '.join(dict.fromkeys(words)) or 'another value'}."


def of_items(hint: Any) -> str:
    """What a list holds, and how many, as far as one word says it; empty otherwise."""
    kinds = [kind for kind in get_args(hint) if kind is not ...]
    if len({*kinds}) != 1 or kinds[0] not in ITEMS:
        return ""
    counted = f"{len(kinds)} " if len(kinds) > 1 else ""
    return f" of {counted}{ITEMS[kinds[0]]}"


def members(hint: Any) -> list[Any]:
    """The classes that a type names and its literals as text; of a list's items, parts alone."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [str(argument) for argument in arguments]
    if isclass(hint) and issubclass(hint, Enum):
        return [*hint.__members__]
    if not arguments:
        return [hint] if isclass(hint) and hint is not type(None) else []
    inside = [member for argument in arguments for member in members(argument)]
    return [origin, *(m for m in inside if m not in FRIENDLY)] if origin in FRIENDLY else inside


def family(cls: type) -> Iterator[type]:
    """A class and all that derive from it, as far as they are imported and can be built."""
    yield from () if isabstract(cls) else (cls,)
    yield from (kin for child in list[type](type.__subclasses__(cls)) for kin in family(child))


def known_failure(error: BaseException) -> str | None:
    """One sentence for what Lightning, an import, a file or memory refuses; None for a fault."""
    text = shorten(str(error).partition("Exception raised from")[0], 400, placeholder="…")
    called = [f.f_globals["__name__"] for f, _ in traceback.walk_tb(error.__traceback__)]
    *_, module = ["", *(name for name in called if name != LOOKUP)]
    plain = isinstance(error, ValueError) or type(error).__name__ == "MisconfigurationException"
    missing = isinstance(error, AttributeError) and (error.name is None or LOOKUP in called[-1:])
    unlogged = isinstance(error, RuntimeError) and "callbacks" in module  # what a callback watches
    foreign = isinstance(error, ImportError) and not (error.name or "").startswith("ae_lightning")
    if foreign or (module.startswith("lightning.") and (plain or missing or unlogged)):
        return text
    if module == LR_SCHEDULERS and isinstance(error, ValueError):  # a step too many
        return f"model.lr_schedule: {text}."
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, RuntimeError) and re.search(LOST_READER, text):
        return (
            "a process that reads the data has ended; if shared memory is short (/dev/shm, or "
            "--shm-size of a container), raise it, or read with --data.num_workers 0."
        )
    if is_too_large(error):
        text = re.sub(r"\[enforce fail.*Allocator: |\. Error code.*", "", text)
        return f"model and data do not fit into memory: reduce them or data.batch_size ({text})."
    return None


def is_too_large(error: BaseException) -> bool:
    """Whether something was too large for memory, or for any machine's."""
    kinds = MemoryError | RuntimeError | TypeError
    return isinstance(error, kinds) and bool(re.search(TOO_LARGE, str(error)))


def blamed(text: str, trainer: Mapping[str, Any]) -> str:
    """Begin Lightning's refusal with the trainer's named parts, if it names no option itself."""
    given = {n: v.get("class_path") if isinstance(v, Mapping) else v for n, v in trainer.items()}
    parts = {n: v for n, v in given.items() if isinstance(v, str) and v != "auto"}
    said = [f"trainer.{n} is {v}" for n, v in parts.items() if n != "default_root_dir"]
    named = any(f"`{n}" in text for n in trainer)
    return text if named or not said else f"{', '.join(said)}: {text}"
