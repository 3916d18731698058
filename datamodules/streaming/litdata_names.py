"""All that streaming uses of litdata, by name, outside litdata's public interface.

It only fetches: litdata's own chunks say how they are read, by pickle too, so that these are not.
"""

from typing import Any, Final

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.private_names import private

MODULES: Final = {
    "get_downloader": "litdata.streaming.downloader",  # fetches one file from any storage
    "LocalDownloader": "litdata.streaming.downloader",  # what it returns for an unknown storage
    "get_default_cache_dir": "litdata.utilities.dataset_utilities",
}


def of_litdata(name: str) -> Any:
    """Return what litdata calls by that name, or raise UsageError if this machine's has none."""
    try:
        import litdata  # noqa: F401
    except ImportError as error:
        broken = "" if error.name == "litdata" else f", which cannot be imported ({error})"
        cure = "pip install 'ae-lightning[stream]'"
        raise UsageError(printable(f"remote data need litdata{broken}: {cure}.")) from None
    return private(f"{MODULES[name]}:{name}")
