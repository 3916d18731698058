"""A file is written whole or not at all, and shows when a byte of it has changed."""

from __future__ import annotations

import errno
import os
import resource
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from ae_lightning.core.errors import printable
from ae_lightning.core.files import append, damage, replacing, share, write_text
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from helpers.apart import call, call_all


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


@pytest.mark.parametrize("write", [lambda f: write_text(f, "new"), lambda f: share(Path("a"), f)])
def test_what_is_written_replaces_a_link_and_renames_a_folder(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("new")
    Path("precious").write_text("mine")
    Path("link").symlink_to("precious")
    for _ in range(2):
        Path("folder").unlink(missing_ok=True)
        Path("folder").mkdir()
        (Path("folder") / "mine").write_text("mine")
        for name in ("link", "folder"):
            write(Path(name))
            assert Path(name).read_text() == "new"
            assert not Path(name).is_symlink()
    assert Path("precious").read_text() == "mine"
    assert (Path("folder.former") / "mine").read_text() == "mine"
    assert (Path("folder.former-2") / "mine").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_appended_through_a_link_or_to_what_is_not_there(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("a")
    link.symlink_to(file)
    append(file, b"b")
    for name in (link, tmp_path / "none"):
        with pytest.raises(OSError, match=r"symbolic links|No such file"):
            append(name, b"c")
    assert file.read_text() == "ab"
    assert not (tmp_path / "none").exists()


def replace_often(file: Path, text: str) -> None:
    for _ in range(30):
        write_text(file, text)


def test_two_that_write_the_same_file_at_once_leave_it_whole(tmp_path: Path) -> None:
    texts = ["a" * 10_000, "b" * 20_000]
    assert call_all(replace_often, [(tmp_path / "file", text) for text in texts]) == [0, 0]
    assert (tmp_path / "file").read_text() in texts
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["\x1b[31m\n", "x" * 60_000])
def test_a_damaged_member_is_named_in_one_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.ckpt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"content")
    file.write_bytes(file.read_bytes().replace(b"content", b"changed"))
    said = damage(file)
    assert said is not None
    assert said.startswith(f"its member {printable(name, 80)} is damaged")
    assert said.isprintable()
