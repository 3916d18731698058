"""A file is written whole or not at all, and shows when a byte of it has changed."""

from __future__ import annotations

import errno
import os
import resource
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from ae_lightning.core.files import damage, replacing, share
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from helpers.apart import call


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A checkpoint of one small tensor."""
    file = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": torch.arange(8.0), "b": {"c": 1}}, file)
    return file


def test_a_sealed_file_is_a_zip_file_that_torch_reads(sealed: Path) -> None:
    assert damage(sealed) is None
    assert zipfile.ZipFile(sealed).testzip() is None
    for mmap in (False, True):
        found = torch.load(sealed, weights_only=True, mmap=mmap)
        assert torch.equal(found["a"], torch.arange(8.0))


def test_a_flipped_byte_is_found_wherever_it_is(sealed: Path) -> None:
    """In every byte of the file, headers that a zip file does not sum up among them."""
    whole = sealed.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        sealed.write_bytes(flipped)
        assert damage(sealed) is not None, place


def test_what_is_cut_off_or_added_is_found(sealed: Path) -> None:
    whole = sealed.read_bytes()
    for size in range(0, len(whole), 7):
        sealed.write_bytes(whole[:size])
        assert damage(sealed) is not None, size
    for more in (b"\0", b"sha256:", whole):
        sealed.write_bytes(whole + more)
        assert damage(sealed) is not None, more[:9]


def test_a_file_without_a_digest_is_judged_by_its_own_sums(tmp_path: Path) -> None:
    file = tmp_path / "foreign.pt"
    torch.save({"a": torch.arange(1000.0)}, file)
    assert damage(file) is None
    flipped = bytearray(file.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    file.write_bytes(flipped)
    assert damage(file) is not None


def test_a_failure_leaves_the_former_file_and_nothing_else(sealed: Path) -> None:
    before = sealed.read_bytes()
    with suppress(KeyError), replacing(sealed) as file:
        file.write(b"half")
        raise KeyError
    assert sealed.read_bytes() == before
    assert os.listdir(sealed.parent) == [sealed.name]


def full_disk(file: Path, said: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(100_000)}, file)
    except OSError as error:
        said.write_text(str(error.errno))


def test_a_full_disk_leaves_the_former_file_and_is_named(sealed: Path) -> None:
    """A limit on a file's size stands for it: the system refuses the same way."""
    before = sealed.read_bytes()
    said = sealed.parent / "said"
    assert call(full_disk, sealed, said) == 0
    assert int(said.read_text()) == errno.EFBIG
    assert sealed.read_bytes() == before
    assert sorted(os.listdir(sealed.parent)) == [sealed.name, "said"]


@pytest.mark.parametrize("linked", [True, False])
def test_a_shared_file_replaces_the_former_one(
    sealed: Path, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not linked:
        monkeypatch.setattr(os, "link", refuse)
    best = sealed.with_name("best.ckpt")
    best.write_bytes(b"former")
    share(sealed, best)
    assert best.read_bytes() == sealed.read_bytes()
    assert os.path.samefile(best, sealed) is linked
    sealed.unlink()
    assert damage(best) is None
