"""Every file that cannot be read is one sentence that names it and the reason, or is left out."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning.datamodules import ImageFolder
from ae_lightning.datamodules.loading import image_files, listing
from helpers.failures import failure, run_through
from helpers.images import write_images

RNG = np.random.default_rng(0)


def damaged(kind: str) -> bytes:
    """An image of 64 × 64 pixels of which only the head is as it should be."""
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, kind)
    head = len(buffer.getvalue()) // 5
    return buffer.getvalue()[:head] + bytes(4 * head)


def huge_png(side: int = 20_000) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99)))


def icon(png: bytes) -> bytes:
    """A file of icons that states 32 × 32 pixels, whatever its image has."""
    head = struct.pack("<HHHBBHHHII", 0, 1, 1, 32, 32, 0, 1, 32, len(png), 22)
    return head + png


def apple_icon(png: bytes) -> bytes:
    return struct.pack(">4sI4sI", b"icns", 16 + len(png), b"ic07", 8 + len(png)) + png


LARGE = "has 400,000,000 pixels, and data.max_pixels is 200,000,000"
BAD = {
    "heic.heic": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC, a format that is not read"),
    "renamed.jpg": (b"\0\0\0\x18ftypmif1" + bytes(100), "HEIC, a format that is not read"),
    "scan.dcm": (bytes(128) + b"DICM" + bytes(50), "DICOM, a format that is not read"),
    "scan": (bytes(128) + b"DICM" + bytes(50), "DICOM, a format that is not read"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "page.jpg": (b"<html><body>404</body></html>", "text, such as HTML or SVG"),
    "empty.png": (b"", "an empty file"),
    "nothing.webp": (bytes(99), "of no known format"),
    "cut.png": (b"\x89PNG\r\n\x1a\n", "its header is damaged"),
    "huge.png": (huge_png(), LARGE),
    "huge.ico": (icon(huge_png()), LARGE),
    "renamed.png": (icon(huge_png()), LARGE),
    "huge.icns": (apple_icon(huge_png()), LARGE),
    "larger.ico": (icon(huge_png(15_000)), "has 225,000,000 pixels"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no known format"),
    "odd.dds": (b"DDS " + (124).to_bytes(4, "little") + bytes(200), ""),
    "damaged.avif": (damaged("AVIF"), ""),
    "damaged.tif": (b"II*\0\x08\0\0\0\xff\xff" + RNG.bytes(200), ""),
    "no-page.tif": (b"II*\0\0\0\0\0", "it holds no page"),
}


@pytest.fixture(params=[True, False], ids=["in memory", "by workers"])
def in_memory(request):
    return request.param


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_its_reason_or_skipped(tmp_path, in_memory, name):
    folder = write_images(tmp_path, {"a": 30})
    content, reason = BAD[name]
    bad = tmp_path / "a" / name
    bad.write_bytes(content)
    said = failure(ImageFolder(folder, in_memory=in_memory))
    assert said.startswith(f"{bad} ")
    assert reason in said
    assert said.count(str(bad)) == 1
    assert said.endswith("set data.unreadable to skip.")
    assert len(said) < 400
    data = ImageFolder(folder, in_memory=in_memory, unreadable="skip")
    with pytest.warns(UserWarning, match=f"1 of 31 images is left out: {bad} "):
        run_through(data)
    assert sum(map(len, data.sets.values())) == 30


def test_many_bad_files_are_counted_and_the_first_few_are_named(tmp_path, in_memory):
    folder = write_images(tmp_path, {"a": 60})
    alone = ImageFolder(folder)
    alone.setup()
    for i in range(7):
        (tmp_path / "a" / f"bad{i}.png").write_bytes(b"no")
    data = ImageFolder(folder, in_memory=in_memory, unreadable="skip")
    with pytest.warns(UserWarning, match=r"^7 of 67 images are left out: .* and 4 more\.$"):
        data.setup()
    for split, examples in alone.sets.items():  # and nothing else has changed
        rows = torch.arange(len(examples))
        assert torch.equal(data.sets[split][rows][0], examples[rows][0])


def test_workers_skip_too(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", 5)
    folder = write_images(tmp_path, {"": 50})
    (tmp_path / "bad.png").write_bytes(b"no")
    data = ImageFolder(folder, unreadable="skip")
    data.setup()
    assert sum(map(len, data.sets.values())) == 50


def test_all_bad(tmp_path):
    write_images(tmp_path, {"": 5})
    for file in tmp_path.iterdir():
        file.write_bytes(b"no")
    said = failure(ImageFolder(str(tmp_path), unreadable="skip"))
    assert said == f"{tmp_path} holds no image that can be read."


def test_settings_are_not_a_files_fault(tmp_path):
    """Skipping must not hide what an option would mend."""
    write_images(tmp_path, {"": 5})
    write_images(tmp_path / "more", {"": 5}, side=9)
    assert "give resize" in failure(ImageFolder(str(tmp_path), unreadable="skip"))


# ----------------------------------------------------------------------------- what is no file


def test_a_pipe_is_refused_and_does_not_wait(tmp_path):
    folder = write_images(tmp_path, {"": 5})
    signal.alarm(20)
    for name in ("pipe.png", "pipe"):
        os.mkfifo(tmp_path / name)
        said = failure(ImageFolder(folder))
        assert said == (
            f"{tmp_path / name} is not a regular file: mend or remove it, or set "
            "data.unreadable to skip."
        )
        with pytest.warns(UserWarning, match="1 not used in .*, since they cannot be read: "):
            ImageFolder(folder, unreadable="skip").setup()
        (tmp_path / name).unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "is not a regular file" in failure(ImageFolder(folder))
    signal.alarm(0)


def test_links_upward_end(tmp_path):
    folder = write_images(tmp_path, {"a": 10, "a/b": 10})
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    signal.alarm(20)
    said = failure(ImageFolder(folder))
    assert "up is a link to a folder that it lies in: mend or remove it, or set" in said
    data = ImageFolder(folder, unreadable="skip")
    data.setup()
    assert sum(map(len, data.sets.values())) == 20
    signal.alarm(0)


def test_a_link_to_nothing_and_to_itself(tmp_path):
    folder = write_images(tmp_path, {"a": 10})
    for target in ("nowhere.png", "link.png"):
        (tmp_path / "link.png").symlink_to(tmp_path / target)
        assert failure(ImageFolder(folder)).startswith(f"{tmp_path / 'link.png'} cannot be read (")
        (tmp_path / "link.png").unlink()


def test_an_unreadable_folder_and_an_unreadable_file(tmp_path, monkeypatch):
    """As an ordinary user sees them; root may read all."""
    folder = write_images(tmp_path, {"a": 10, "b": 10})
    closed, opened = os.scandir, open

    def scandir(path: Path) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return closed(path)

    monkeypatch.setattr(listing.os, "scandir", scandir)
    said = failure(ImageFolder(folder))
    assert said == (
        f"{tmp_path / 'b'} cannot be listed (permission denied): mend or remove it, or set "
        "data.unreadable to skip."
    )
    monkeypatch.undo()

    real = os.open

    def denied(path: Path, *rest: object, **more: object) -> int:
        if str(path).endswith("a/0003.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", denied)
    said = failure(ImageFolder(folder))
    assert said.startswith(f"{tmp_path}/a/0003.png cannot be read as an image (permission denied)")
    assert opened is open


# ------------------------------------------------------------------------------- stray files


def test_stray_files_are_stepped_over_with_one_line(tmp_path):
    folder = write_images(tmp_path, {"a": 20})
    before = ImageFolder(folder)
    before.setup()
    for name in ("Thumbs.db", "labels.csv", "README", "notes.txt", "a/meta.json", "a/x.mp4"):
        (tmp_path / name).write_bytes(b"BM or anything" + RNG.bytes(50))
    (tmp_path / ".DS_Store").write_bytes(b"hidden")
    data = ImageFolder(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run_through(data)
    assert [str(w.message) for w in said] == [
        f"6 not used in {folder}, since they are no images: README, Thumbs.db, labels.csv and 3 "
        "more."
    ]
    assert torch.equal(data.sets["train"].x, before.sets["train"].x)


def test_an_image_without_an_images_suffix_is_one(tmp_path):
    folder = write_images(tmp_path, {"": 5})
    for i, name in enumerate(("photo", "photo.jpg_large", "photo.png.1")):
        (tmp_path / f"000{i}.png").rename(tmp_path / name)
    data = ImageFolder(folder)
    data.setup()
    assert sum(map(len, data.sets.values())) == 5
