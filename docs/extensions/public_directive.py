"""`{public} MODULE`: the reference of the public names of a module or package, from docstrings."""

import inspect
import re
from importlib import import_module
from typing import Any, ClassVar

from docutils.nodes import Node
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import signature as sphinx_signature
from sphinx.util.inspect import stringify_signature

from ae_lightning.core.parts import Recorded


def names_of(module: str) -> list[str]:
    """The classes and functions that a module defines, or that a package offers, in their order.

    >>> names_of("ae_lightning.schedules")[:4]
    ['Clock', 'Schedule', 'Constant', 'Linear']
    """
    found = import_module(module)
    package = hasattr(found, "__path__")
    offered = dir(found) if hasattr(found, "HOMES") else vars(found)
    objects = {name: getattr(found, name) for name in offered if not name.startswith("_")}
    return [
        name
        for name, value in objects.items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and (value.__module__ == module or (package and within(value.__module__, module)))
    ]


def within(name: str, package: str) -> bool:
    """Whether a module belongs to a package, and not to the machinery that all share."""
    return name.startswith(f"{package}.") and name != "ae_lightning.core.lazy_names"


class Public(SphinxDirective):
    """Document the names of a module that are given, or else all that are public.

    `:classes:` leaves out its functions, and `:except:` the names that stand on another page.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "classes": directives.flag,
        "except": directives.unchanged,
    }

    def run(self) -> list[Node]:
        module = import_module(name := self.arguments[0])
        left_out = self.options.get("except", "").split()
        lines = []
        for public in " ".join(self.content).split() or names_of(name):
            value = getattr(module, public)
            if public in left_out or ("classes" in self.options and not inspect.isclass(value)):
                continue
            kind = "autoclass" if inspect.isclass(value) else "autofunction"
            if inspect.isclass(value) and issubclass(value, BaseException):
                kind = "autoexception"
            lines.append(f".. {kind}:: {name}.{public}")
            lines += ["   :members:"] * (kind == "autoclass") + [""]
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))


def sign(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Take what a part is given from its __init__: its __new__, which records it, takes all."""
    if what != "class" or not issubclass(value, Recorded) or value.__init__ is object.__init__:
        return None
    found = sphinx_signature(value.__init__, bound_method=True)
    text = stringify_signature(found, unqualified_typehints=True, show_return_annotation=False)
    return re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text.replace("functools.", "")), ""


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("public", Public)
    app.connect("autodoc-process-signature", sign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
