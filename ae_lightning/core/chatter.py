"""What Lightning and torch say to every user of theirs, and what tells a user of ours nothing."""

import logging
import re
import warnings
from typing import Final

# Lines of Lightning's log.
CHATTER: Final = re.compile(
    r"💡 Tip|Loading `train_dataloader` to estimate|[TH]PU available"
    r"|GPU available: (False|.*used: True)|LOCAL_RANK: "
    r"|Restor(ing|ed all) states from|Loaded model weights"
)
# Warnings of what Lightning calls, which it alone can change, and an old piece of its news.
WARNINGS: Final = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"Starting from v1\.9\.0, `tensorboardX` has been removed",
)


def quieten() -> None:
    """Drop the lines of `CHATTER` and Lightning's own `WARNINGS`; all others stay."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(tells_news)
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message, module=r"lightning\.")


def tells_news(record: logging.LogRecord) -> bool:
    """Whether a message is anything but `CHATTER`."""
    return not CHATTER.match(record.getMessage())
