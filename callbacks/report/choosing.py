"""Which pictures there are, and which of them to draw."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any, Final

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.model import Model

from ..picture import PictureCallback
from .history import History

# The order of pictures on a page; others follow by name.
PAGE_ORDER: Final = (
    *("curves", "reconstructions", "prior_samples", "latent_traversal", "latent_manifold"),
    *("interpolation", "codes", "kl_per_dimension", "score_field", "tangent_directions"),
    *("jacobian_spectrum", "contraction_curve", "filters", "activation_histogram", "l0_error"),
)


def in_page_order(names: Iterable[str]) -> list[str]:
    """Sort the names of pictures as a page shows them.

    >>> in_page_order({"own", "codes", "curves"})
    ['curves', 'codes', 'own']
    """
    rest = set(names)
    return [n for n in PAGE_ORDER if n in rest] + sorted(rest.difference(PAGE_ORDER))


def known_pictures() -> dict[str, type[PictureCallback]]:
    """Every picture of this package by name, in the order of a page."""
    package = vars(import_module("ae_lightning.callbacks"))
    found = {
        kind.name: kind
        for kind in package.values()
        if isinstance(kind, type) and issubclass(kind, PictureCallback) and hasattr(kind, "name")
    }
    return {name: found[name] for name in in_page_order(found)}


def pictures_named(names: Sequence[str]) -> list[PictureCallback]:
    """The pictures of these names, with their defaults or with arguments: NAME:ARGUMENT=VALUE:….

    Values are written as in YAML, as in latent_traversal:animated=true:dims=[0,3].

    Raises:
        UsageError: if there is no picture of a name, or it does not take an argument or its value.
    """
    known = known_pictures()
    made = []
    for text in names:
        name, *arguments = text.split(":")
        if name not in known:
            raise UsageError(f"there is no picture {name}: {nearest(name, known)}")
        made.append(_made(known[name], arguments) if arguments else known[name]())
    return made


def _made(kind: type[PictureCallback], arguments: Sequence[str]) -> PictureCallback:
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    taken = [name.removeprefix("made.") for name in parser.add_class_arguments(kind, "made")]
    options = []
    for text in arguments:
        argument, equals, value = text.partition("=")
        if argument not in taken:
            raise UsageError(f"{kind.name} takes no {argument}: {nearest(argument, taken)}")
        options.append(f"--made.{argument}={value if equals else 'true'}")
        try:
            given = parser.parse_args(options)
        except ArgumentError:
            raise UsageError(f"{argument} of {kind.name} is {value}: no value for it.") from None
    return parser.instantiate_classes(given).made  # type: ignore[no-any-return]


def judged(
    model: Model, data: Any, history: History | None = None
) -> list[tuple[PictureCallback, str | None]]:
    """Every picture with its defaults, and why it does not suit a model and its data, or None."""
    pictures = pictures_named(list(known_pictures()))
    for picture in pictures:
        picture.history = history
    return [(picture, picture.suits(model, data)) for picture in pictures]


def all_suitable(model: Model, data: Any, history: History | None = None) -> list[PictureCallback]:
    """The pictures that suit a model and its data, with their defaults."""
    return [picture for picture, reason in judged(model, data, history) if reason is None]
