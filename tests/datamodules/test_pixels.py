"""Pixels are read as the file describes them, or refused: bits, kinds, opacity, size, frames."""

from __future__ import annotations

import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ae_lightning.datamodules import ImageFolder
from ae_lightning.datamodules.loading.pixels import oriented
from ae_lightning.datamodules.loading.rendering import Rendering
from helpers.draws import RNG
from helpers.failures import failure
from helpers.images import write_images
from helpers.pixels import H, W, integers, near, png, refusal

# ------------------------------------------------------------------------------- bits and kinds


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "uint32", "int8", "int16", "int32"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_tiff_of_any_whole_numbers(tmp_path, kind, channels, compression, planar, order):
    x, path = integers(kind, *channels), tmp_path / "a.tif"
    stored, how = x, {}
    if channels:
        stored = x if planar == "contig" else np.moveaxis(x, 2, 0)
        how = {"photometric": "rgb", "planarconfig": planar}
    tifffile.imwrite(path, stored, byteorder=order, compression=compression, **how)
    bounds = np.iinfo(kind)
    expected = (x.astype(np.float64) - bounds.min) / (float(bounds.max) - bounds.min)
    seen = Rendering()(path)
    assert seen.dtype == (torch.float32 if bounds.bits > 8 else torch.uint8)
    assert near(seen if bounds.bits > 8 else seen / 255, expected)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [(), (3,), (5,)])
def test_floats_are_in_the_unit_interval_or_their_range_is_given(tmp_path, kind, channels):
    x, path = RNG.uniform(0, 1, (H, W, *channels)).astype(kind), tmp_path / "a.tif"
    how = {"photometric": "rgb" if channels == (3,) else "minisblack"}
    tifffile.imwrite(path, x, planarconfig="contig" if channels else None, **how)
    assert near(Rendering()(path), x)
    tifffile.imwrite(path, 100 * x - 20, planarconfig="contig" if channels else None, **how)
    assert "set data.range to the two values that become 0 and 1." in refusal(path)
    assert "and not in [0, 50]" in refusal(path, span=(0, 50))
    seen = Rendering(span=(-20.0, 80.0))(path)
    assert torch.allclose(seen.mean(), torch.tensor(x).float().mean(), atol=1e-2)
    x.flat[3] = np.nan
    tifffile.imwrite(path, x, planarconfig="contig" if channels else None, **how)
    assert "holds values from nan" in refusal(path)


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_png_of_16_bits_loses_none(tmp_path, kind, channels):
    x = integers("uint16", channels)
    seen = Rendering(background=(0.25, 0.5, 0.75))(png(tmp_path / "a.png", x, kind))
    c = x / 65535
    if channels % 2 == 0:
        alpha = c[..., -1:]
        c = alpha * c[..., :-1] + (1 - alpha) * (
            np.array([0.25, 0.5, 0.75]) if kind == 6 else 0.25 * 0.299 + 0.5 * 0.587 + 0.75 * 0.114
        )
    assert near(seen, c if c.shape[2] == 3 else c[..., 0])


def test_a_colour_of_16_bits_that_stands_for_transparent(tmp_path):
    x = integers("uint16", 3)
    clear = struct.pack(">HHH", *x[2, 3])
    chunk = struct.pack(">I", 6) + b"tRNS" + clear + struct.pack(">I", zlib.crc32(b"tRNS" + clear))
    expected = x / 65535
    expected[2, 3] = 1
    assert near(Rendering()(png(tmp_path / "a.png", x, 2, chunk)), expected)


def test_a_tiff_whose_least_value_is_white(tmp_path):
    for kind in ("uint8", "uint16"):
        x, path = integers(kind), tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, x, photometric="miniswhite")
        seen, most = Rendering()(path), np.iinfo(kind).max
        assert near(seen / 255 if kind == "uint8" else seen, 1 - x / most)


@pytest.mark.parametrize(
    ("bands", "kind"), [(2, "uint8"), (4, "uint8"), (5, "uint8"), (5, "uint16")]
)
def test_bands_are_kept_as_they_are(tmp_path, bands, kind):
    x = integers(kind, bands)
    how = {"photometric": "minisblack", "planarconfig": "contig"}
    for i in range(4):
        tifffile.imwrite(tmp_path / f"{i}.tif", x, **how)
    data = ImageFolder(str(tmp_path))
    assert data.shape == (bands, H, W)
    assert near(data.pairs("train", [0]).x[0], x / np.iinfo(kind).max)
    assert Rendering(size=(3, 4))(tmp_path / "0.tif").shape == (bands, 3, 4)
    assert "holds" in refusal(tmp_path / "0.tif", greyscale=True)
    write_images(tmp_path / "others", {"": 2})
    assert f".png has 3 channels, and the first image {bands}." in failure(data_of(tmp_path))


def data_of(folder: Path, **options: Any) -> ImageFolder:
    return ImageFolder(str(folder), **options)


def test_pgm_of_16_bits_and_pfm(tmp_path):
    x = RNG.integers(0, 4096, (H, W), np.uint16)
    grey = tmp_path / "a.pgm"
    grey.write_bytes(b"P5 7 5 4095\n" + x.astype(">u2").tobytes())
    assert torch.allclose(Rendering()(grey)[0], torch.tensor(x / 4095).float(), atol=2e-5)
    floats = tmp_path / "a.pfm"
    y = RNG.uniform(0, 1, (H, W)).astype("<f4")
    floats.write_bytes(b"Pf\n7 5\n-1.0\n" + y[::-1].tobytes())
    assert near(Rendering()(floats), y)
    colour = tmp_path / "a.ppm"
    colour.write_bytes(b"P6 7 5 65535\n" + integers("uint16", 3).astype(">u2").tobytes())
    assert "more than 8 bits" in refusal(colour)


def test_more_bits_than_the_first_image_has(tmp_path):
    write_images(tmp_path, {"": 5})
    deep = png(tmp_path / "deep.png", RNG.integers(0, 65536, (8, 8, 3), np.uint16), 2)
    assert failure(data_of(tmp_path)) == (
        f"{deep} has more than 8 bits a value, and the first image 8: set data.bits to 32 to keep "
        "them all, or to 8 to round them."
    )
    for bits, dtype in ((8, torch.uint8), (32, torch.float32)):
        data = data_of(tmp_path, bits=bits)
        data.setup()
        assert data.sets["train"].x.dtype == dtype
    deep.rename(tmp_path / "0.png")  # the first by name
    data = data_of(tmp_path)
    data.setup()
    assert data.sets["train"].x.dtype == torch.float32
    assert data.arguments["bits"] is None


def test_without_tifffile_it_is_named(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", integers("uint16"))
    Image.fromarray(integers("uint8")).save(tmp_path / "b.tif")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    assert "it needs tifffile" in refusal(tmp_path / "a.tif")
    assert "pip install 'ae-lightning[tiff]'" in refusal(tmp_path / "a.tif")
    Rendering()(tmp_path / "b.tif")


def test_colour_spaces_without_a_plain_meaning_are_refused(tmp_path):
    lab = tmp_path / "lab.tif"
    tifffile.imwrite(lab, integers("uint8", 3), photometric="cielab")
    assert "CIE L*a*b*" in refusal(lab)
    cmyk = tmp_path / "cmyk.tif"
    tifffile.imwrite(cmyk, integers("uint16", 4), photometric="separated", planarconfig="contig")
    assert "CMYK" in refusal(cmyk)
    complex_ = tmp_path / "complex.tif"
    tifffile.imwrite(complex_, np.ones((H, W), np.complex64))
    assert "complex" in refusal(complex_)
    volume = tmp_path / "volume.tif"
    tifffile.imwrite(
        volume, RNG.integers(0, 255, (16, 16, 16), np.uint16), volumetric=True, tile=(16, 16, 16)
    )
    assert "its axes are" in refusal(volume)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_stands_upright(orientation):
    x = integers("uint8")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(x)
    image.getexif()[0x0112] = orientation
    from PIL import ImageOps

    expected = np.array(ImageOps.exif_transpose(image))
    assert np.array_equal(oriented(x[..., None], orientation)[..., 0], expected)


def test_a_deep_tiff_stands_upright(tmp_path):
    x = integers("uint16")
    tifffile.imwrite(tmp_path / "a.tif", x, extratags=[(274, "H", 1, 6, True)])
    assert near(Rendering()(tmp_path / "a.tif"), np.rot90(x, -1) / 65535)


# -------------------------------------------------------------------------------------- opacity


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L with a clear value"])
def test_what_is_transparent_shows_the_background(tmp_path, mode):
    x = integers("uint8", 4)
    x[:2, :, 3] = 0
    image, path = Image.fromarray(x, "RGBA"), tmp_path / "a.png"
    if mode in ("LA", "PA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(x[..., 3]))  # which Pillow 11 loses for PA
        path = tmp_path / "a.tif" if mode == "PA" else path
    if mode == "P":
        image = Image.fromarray(np.zeros((H, W), np.uint8)).convert("P")
        image.info["transparency"] = 0
    if mode.startswith("L with"):
        image = Image.fromarray(np.full((H, W), 7, np.uint8))
        image.info["transparency"] = 7
    image.save(path, **({"transparency": image.info["transparency"]} if image.info else {}))
    with pytest.warns(UserWarning, match="laid over data.background, which is white unless set"):
        seen = Rendering()(path)
    assert (seen[:, :2] == 255).all()
    render = Rendering(background=(0.0, 0.2, 1.0))
    assert [*render(path)[:, 0, 0]] == [0, 51, 255]
    with warnings.catch_warnings():  # it is said once
        warnings.simplefilter("error")
        render(path)


def test_colours_mix_with_the_background_by_their_opacity(tmp_path):
    x = integers("uint8", 4)
    Image.fromarray(x, "RGBA").save(tmp_path / "a.png")
    alpha = x[..., 3:] / 255
    expected = alpha * x[..., :3] + (1 - alpha) * 255
    seen = Rendering()(tmp_path / "a.png").permute(1, 2, 0).numpy()
    assert np.abs(seen - expected).max() < 1
    grey = Rendering(greyscale=True)(tmp_path / "a.png")[0].numpy()
    assert np.abs(grey - expected @ [0.299, 0.587, 0.114]).max() < 2


def test_opaque_images_are_left_as_they_are_and_nothing_is_said(tmp_path):
    x = integers("uint8", 4)
    x[..., 3] = 255
    Image.fromarray(x, "RGBA").save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(Rendering()(tmp_path / "a.png").permute(1, 2, 0), x[..., :3])


# ------------------------------------------------------------------------------- size and frames


@pytest.mark.parametrize("deep", [False, True])
def test_the_ways_to_fit_a_size(tmp_path, deep):
    x = np.zeros((40, 80, 3), np.uint16)
    x[:, 20:60] = 65535  # a white square at the centre
    path = tmp_path / "a.png"
    if deep:
        png(path, x, 2)
    else:
        Image.fromarray((x // 257).astype(np.uint8)).save(path)
    seen = {}
    for fit in ("crop", "pad", "stretch"):
        y = Rendering(size=(16, 16), fit=fit, background=(0.0, 0.5, 0.0))(path)
        seen[fit] = (y / (1 if deep else 255)).double()
        assert y.shape == (3, 16, 16)
    inner = slice(2, -2)
    assert seen["crop"][:, inner, inner].min() > 0.98
    assert seen["stretch"][:, :, 5:11].min() > 0.98
    assert seen["stretch"][:, :, :3].max() < 0.02
    assert torch.allclose(
        seen["pad"][:, :3], torch.tensor([0, 0.5, 0]).view(3, 1, 1).double(), atol=0.01
    )
    assert seen["pad"][:, 5:11, 5:11].min() > 0.98
    assert Rendering(size=(4, 9))(path).shape == (3, 4, 9)


def test_several_frames_are_refused_unless_wanted(tmp_path):
    frames = [Image.fromarray(integers("uint8")) for _ in range(4)]
    for name in ("a.gif", "b.tif", "c.png", "d.webp"):
        lossless = {"lossless": True} if name == "d.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **lossless)
        assert "holds 4 frames: set data.frames to first, or to all" in refusal(tmp_path / name)
    for frame in frames:
        deep = np.array(frame).astype(np.uint16) * 257
        tifffile.imwrite(tmp_path / "e.tif", deep, append=frame is not frames[0])
    assert "holds 4 frames" in refusal(tmp_path / "e.tif")
    first, each = (data_of(tmp_path, frames=f, bits=32) for f in ("first", "all"))
    for data, n in ((first, 5), (each, 20)):
        data.setup()
        assert sum(map(len, data.sets.values())) == n
    for split, files in each.folder.files.items():  # the frames of a file stay together
        assert {s.path for s in each._sources[split]} == {f.path for f in files}
    for i, frame in enumerate(frames):
        expected = np.array(frame) / 255
        assert near(Rendering(bits=32)(tmp_path / "b.tif", i), expected)
        assert near(Rendering(bits=32)(tmp_path / "c.png", i), expected)
        assert near(Rendering()(tmp_path / "e.tif", i), expected)


def test_reduced_copies_in_a_tiff_are_no_frames(tmp_path):
    x = integers("uint16")
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(x[::2, ::2].copy(), subfiletype=1)
        tiff.write(x)
    assert near(Rendering()(tmp_path / "a.tif"), x / 65535)
