"""An array file from a stranger takes no more memory than there is, and is told in one line."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch

from ae_lightning.core import memory
from ae_lightning.datamodules import ImageFolder, NumpyFile
from helpers.failures import failure

ONE = torch.ones(1)
STRANGE = {
    "broadcast": (ONE.expand(10**7, 10**6), "x of shape (10000000, 1000000) takes 37,"),
    "sparse": (ONE.reshape(1, 1).to_sparse().sparse_resize_((10**7, 10**6), 2, 0), "takes 37,"),
    "on no device": (torch.ones(3, 2, device="meta"), "x is a tensor without values"),
    "nested": (torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)]), "nested"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_tensor_that_is_more_than_its_file_holds_is_refused(tmp_path: Path, kind: str) -> None:
    """Some hundred bytes would else take all memory, or what Python raises is no sentence."""
    x, said = STRANGE[kind]
    torch.save({"x": x}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 10_000
    assert said in failure(NumpyFile(str(tmp_path / "a.pt")))


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_what_an_archive_would_unpack_to_fits_into_memory(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, plain = tmp_path / f"a.{suffix}", tmp_path / "plain"
    if suffix == "npz":
        np.savez_compressed(file, x=np.zeros((1000, 3000)))
    else:
        torch.save(torch.zeros(1000, 3000).double(), plain)
        with ZipFile(plain) as source, ZipFile(file, "w", ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
    assert file.stat().st_size < 50_000
    assert NumpyFile(str(file)).shape == (3000,)
    monkeypatch.setattr(memory, "free_memory", lambda: 2**24)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it is read"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it is read"))
    assert failure(NumpyFile(str(file))).startswith(f"{file} takes 0.0")


def test_what_is_not_wanted_of_an_archive_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, other = np.zeros((20, 2)), np.zeros(3 * 10**6)
    np.savez(tmp_path / "a.npz", x=x, more=other)
    monkeypatch.setattr(memory, "free_memory", lambda: 2**24)
    assert NumpyFile(str(tmp_path / "a.npz")).shape == (2,)


def test_names_of_arrays_are_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.pt"
    torch.save({f"\x1b[31m{i}\n": torch.ones(2, 2) for i in range(1000)}, file)
    said = failure(NumpyFile(str(file)))
    assert said.isprintable()
    assert len(said) < len(str(file)) + 400
    assert r"holds \x1b[31m0\n, " in said


def test_bands_of_an_image_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte may hold two hundred bands of four million zeros."""
    tifffile = pytest.importorskip("tifffile")
    bands = np.zeros((200, 200, 50), np.uint16)
    options = {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib"}
    for i in range(4):
        tifffile.imwrite(tmp_path / f"{i}.tif", bands, **options)
    assert ImageFolder(str(tmp_path)).shape == (50, 200, 200)
    monkeypatch.setattr(memory, "free_memory", lambda: 2**24)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda _: pytest.fail("it is decoded"))
    assert "(it takes 0.0 GiB, more than the 0.0 GiB" in failure(ImageFolder(str(tmp_path)))
