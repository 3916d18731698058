"""All that streaming uses of litdata, by name, outside litdata's public interface.

It only fetches: litdata's own chunks say how they are read, by pickle too, so that these are not.
"""

from importlib import import_module
from typing import Any, Final

from ae_lightning.core.errors import UsageError

MODULES: Final = {
    "get_downloader": "litdata.streaming.downloader",  # fetches one file from any storage
    "LocalDownloader": "litdata.streaming.downloader",  # what it returns for an unknown storage
    "get_default_cache_dir": "litdata.utilities.dataset_utilities",
}


def of_litdata(name: str) -> Any:
    """Return what litdata calls by that name, or raise UsageError if this machine's has none."""
    try:
        import litdata
    except ImportError:
        raise UsageError("remote data need litdata: pip install 'ae-lightning[stream]'.") from None
    try:
        return getattr(import_module(MODULES[name]), name)
    except (ImportError, AttributeError):
        raise UsageError(
            f"litdata {litdata.__version__} has no {MODULES[name]}.{name}: install the release "
            "that ae-lightning[stream] asks for."
        ) from None
