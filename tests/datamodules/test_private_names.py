"""Private names of other libraries that loading and streaming use are still there."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules.streaming.litdata_names import MODULES, of_litdata


@pytest.mark.parametrize("name", MODULES)
def test_litdata_has_each_name_that_streaming_uses(name):
    assert of_litdata(name).__name__ == name


def test_a_name_that_moved_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(MODULES, "Mover", "litdata")
    with pytest.raises(UsageError, match=r"^litdata \S+ has no litdata\.Mover, which ae-"):
        of_litdata("Mover")


def test_a_litdata_that_lacks_what_it_needs_says_what(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "litdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UsageError, match=r"litdata, which cannot be imported \(.*boto3.*\): pip"):
        of_litdata("get_downloader")


def test_torchs_data_loader_keeps_an_iterator_whose_workers_can_be_ended():
    loader = DataLoader(TensorDataset(torch.zeros(2)), num_workers=1, persistent_workers=True)
    next(iter(loader))
    iterator = getattr(loader, "_iterator", None)
    message = (
        f"torch {torch.__version__} has no {{}}: BatchLoader.release must end workers otherwise"
    )
    assert iterator is not None, message.format("DataLoader._iterator")
    assert hasattr(iterator, "_shutdown_workers"), message.format("_shutdown_workers")
    iterator._shutdown_workers()
    assert not any(worker.is_alive() for worker in iterator._workers)
