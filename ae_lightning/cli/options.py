"""The options of a command line, before any parser has seen them."""

from typing import NamedTuple


class Option(NamedTuple):
    """A flag as it was given, or a word that belongs to none.

    Args:
        name: such as "--model.latent"; empty if it is a stray word.
        value: what follows it, after "=" or as the next word; None if nothing does.
        words: the one or two words that it was given as.
    """

    name: str
    value: str | None
    words: list[str]

    @property
    def path(self) -> list[str]:
        """The names that lead to what it sets, without those that every part has.

        >>> Option("--model.init_args.encoder.class_path", "MLP", []).path
        ['model', 'encoder']
        """
        names = self.name.lstrip("-").split(".") if self.name else []
        inner = [name for name in names[:-1] if name != "init_args"]
        return inner + [name for name in names[-1:] if name != "class_path"]


def options_in(flags: list[str]) -> list[Option]:
    """Split a command line into its options.

    >>> [(o.name, o.value) for o in options_in(["--a=1", "--b", "2", "--c", "-d", "-1"])]
    [('--a', '1'), ('--b', '2'), ('--c', None), ('-d', '-1')]
    """
    found: list[Option] = []
    for word in flags:
        name, equals, value = word.partition("=")
        if name.startswith("--") or (name[:1] == "-" and name[1:2].isalpha()):
            found.append(Option(name, value if equals else None, [word]))
        elif found and found[-1].name and found[-1].value is None:
            found[-1] = found[-1]._replace(value=word, words=[*found[-1].words, word])
        else:
            found.append(Option("", word, [word]))
    return found
