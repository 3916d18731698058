"""Help texts as a terminal shows them, of docstrings that were written for web pages."""

import re
from argparse import Action

from jsonargparse import DefaultHelpFormatter

from ae_lightning.core.private_names import private

private("jsonargparse:DefaultHelpFormatter", "_expand_help", "_fill_text")


class HelpFormatter(DefaultHelpFormatter):
    """jsonargparse's, without the marks of Sphinx."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Keep the lines of a list."""
        return text if "\n  " in text else super()._fill_text(text, width, indent)

    def _expand_help(self, action: Action) -> str:
        return plain(super()._expand_help(action))


def plain(text: str) -> str:
    """Text without the marks of Sphinx, and with types by their names.

    >>> plain("If ``True``, see :paramref:`~lightning.pytorch.Trainer.logger`.")
    'If True, see logger.'
    """
    named = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`|<class '(?:\w+\.)*(\w+)'>", r"\1\2", text)
    return named.replace("``", "")
