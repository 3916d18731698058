"""Configs as text: YAML of names and plain values, each name once, and not too many of them."""

import re
from collections import Counter
from typing import Any, Final, NoReturn

import yaml
from yaml import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    MappingNode,
    Node,
    ScalarEvent,
    ScalarNode,
)

# Far above what any config needs, and far below what takes a second to read.
MOST_BYTES: Final = 2**20
MOST_VALUES: Final = 10_000
DEEPEST: Final = 50
LONGEST: Final = 5_000  # characters of a value, of which a path may need 4096
DIGITS: Final = 1000
LONG: Final = re.compile(rf"[-+]?(0[xXbBoO])?[\da-fA-F_]{{{DIGITS}}}")
BITS: Final = 64  # of a number, which torch takes too
PLAIN: Final = [
    f"tag:yaml.org,2002:{kind}"
    for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")
]
# As in Python, 1e-3 is a number; 1:30 is no sum of seconds, and a date is text.
NUMBERS: Final = {
    "int": r"[-+]?(0b[01_]+|0x[\da-fA-F_]+|0[0-7_]*|[1-9][\d_]*)",
    "float": r"[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\.\d[\d_]*([eE][-+]?\d+)?"
    r"|\d[\d_]*[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
}


class PlainLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A loader that makes nothing but plain values, and refuses a name that stands twice."""

    yaml_constructors = {  # noqa: RUF012  # as PyYAML has it
        tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items() if tag in PLAIN
    }
    yaml_implicit_resolvers: dict[Any, Any] = {  # noqa: RUF012
        first: [(t, r) for t, r in known if t in PLAIN and t.rpartition(":")[2] not in NUMBERS]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError):  # of int("x"), say
            refuse(f"a value is no {node.tag.rpartition(':')[2]}", node)
        if isinstance(value, int) and value.bit_length() > BITS:
            problem = f"a number has more than {BITS} bits: if it is text, put it in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return value

    def construct_undefined(self, node: Node) -> Any:
        if not node.tag.startswith("tag:"):  # it may be any text
            return super().construct_undefined(node)
        name = node.tag.replace("tag:yaml.org,2002:", "!!")
        refuse(f"the tag {name} is not one of plain values", node)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> Any:
        names = Counter(key.value for key, _ in node.value if isinstance(key, ScalarNode))
        if twice := [name for name, times in names.items() if times > 1]:
            refuse(f"{twice[0]} stands twice", node)
        return super().construct_mapping(node, deep)


PlainLoader.add_constructor(None, PlainLoader.construct_undefined)
for _kind, _number in NUMBERS.items():
    PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_number})$"), list("-+.0123456789")
    )


class RefusedError(yaml.MarkedYAMLError):  # type: ignore[misc]
    """YAML, and yet nothing that is read here."""


def refuse(problem: str, at: Any) -> NoReturn:
    raise RefusedError(problem=problem, problem_mark=at.start_mark)


def load_yaml(text: str | bytes) -> Any:
    """Return what a text says: names, plain values, and lists of them.

    Raises:
        yaml.YAMLError: if it is not YAML, holds another kind of value, a name twice, more than
            10,000 values after aliases are resolved, or more than 50 levels.

    >>> load_yaml("{a: 1e-3, b: 2020-01-01, c: [0x10, 1:30]}")
    {'a': 0.001, 'b': '2020-01-01', 'c': [16, '1:30']}
    """
    check_extent(text)
    return yaml.load(text, PlainLoader)


def refusal(text: str) -> str:
    """Say why a text is refused if it is read as a value, or return "", as for any other text.

    >>> refusal("[" * 99 + "]" * 99)
    'it has more than 50 levels'
    """
    try:
        load_yaml(text.encode(errors="replace"))  # a file's name need not be UTF-8
    except RefusedError as error:
        return str(error.problem)
    except yaml.YAMLError:
        pass
    return ""


def check_extent(text: str | bytes) -> None:
    """Refuse what would be too large or too deep once it is built, before any of it is.

    Raises:
        yaml.YAMLError: likewise, or if it is not YAML.
    """
    values, extents = 0, dict[Any, tuple[int, int]]()  # of an anchor: its values and its height
    above: list[tuple[str | None, int]] = []  # the open lists and mappings, where each began
    heights = [0]
    for event in yaml.parse(text, PlainLoader):
        size, height = 1, 0
        if isinstance(event, CollectionEndEvent):
            (anchor, began), height = above.pop(), heights.pop() + 1
            if anchor:
                extents[anchor] = values - began, height
            size = 0
        elif isinstance(event, AliasEvent):
            if event.anchor in [anchor for anchor, _ in above]:
                refuse(f"{event.anchor} contains itself", event)
            size, height = extents.get(event.anchor, (1, 0))
        if isinstance(event, ScalarEvent) and len(event.value) > LONGEST:
            refuse(f"a value has more than {LONGEST:,} characters", event)
        if isinstance(event, ScalarEvent) and LONG.match(event.value):
            refuse(f"a number has more than {DIGITS:,} digits", event)
        values += size
        if values > MOST_VALUES:
            refuse(f"it holds more than {MOST_VALUES:,} values", event)
        if len(above) + height > DEEPEST:
            refuse(f"it has more than {DEEPEST} levels", event)
        heights[-1] = max(heights[-1], height)
        if isinstance(event, CollectionStartEvent):
            above.append((event.anchor, values - 1))
            heights.append(0)
