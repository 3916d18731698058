"""Pages from templates: whatever comes from a file or a model is escaped, and nothing is linked."""

from base64 import b64encode
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, **content: Any) -> str:
    """Fill a template with content; all of it is escaped, except for what is `markupsafe.Markup`.

    Raises:
        jinja2.UndefinedError: if the template names what is not given.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["embedded"] = embedded
    return environment.get_template(template).render(content)


def embedded(image: bytes, kind: str = "png") -> str:
    """Return an image as a URL that holds it, so that a page needs no other file.

    >>> embedded(b"PNG")
    'data:image/png;base64,UE5H'
    """
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
