"""Say something once, whichever process comes upon it first."""

import warnings

import torch

from ae_lightning.core.distributed import first_process


class Notice:
    """A line that is said once, by this process or one of its workers, on rank zero only."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._said = torch.zeros((), dtype=torch.bool).share_memory_()

    def say(self) -> None:
        """Warn, unless it was said."""
        if not self._said and first_process():
            self._said.fill_(True)
            warnings.warn(self.text, stacklevel=2)
