"""Files that decoders misread or reduce without a word: read truly, or refused with the reason."""

from __future__ import annotations

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from ae_lightning.datamodules.loading.decoding import count_frames
from ae_lightning.datamodules.loading.rendering import Rendering
from helpers.draws import RNG
from helpers.pixels import H, W, chunk, integers, near, png, refusal

TOO_DEEP = "its colours have more than 8 bits, and are read from PNG and TIFF only"


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_of_few_bits_that_stands_for_transparent(tmp_path, bits):
    x = RNG.integers(0, 2**bits, (H, 8))
    clear = int(x[0, 0])
    places = (x[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(places.reshape(H, -1).astype(np.uint8), axis=1)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, H, bits, 0, 0, 0, 0))
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    body = head + chunk(b"tRNS", struct.pack(">H", clear)) + chunk(b"IDAT", data)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    seen = Rendering(background=(0.2,) * 3)(tmp_path / "a.png") / 255
    assert near(seen, np.where(x == clear, 0.2, x / (2**bits - 1)))


def test_of_an_animation_of_16_bits_only_the_first_frame_is_read(tmp_path):
    frames, path = [integers("uint16", 3) for _ in range(2)], tmp_path / "a.png"

    def control(number: int) -> bytes:
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, W, H, 0, 0, 1, 10, 0, 0))

    def data(frame: np.ndarray) -> bytes:
        return zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in frame))

    second = chunk(b"fdAT", struct.pack(">I", 2) + data(frames[1]))
    png(path, frames[0], 2, chunk(b"acTL", struct.pack(">II", 2, 0)) + control(0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-12] + control(1) + second + whole[-12:])
    assert "holds 2 frames" in refusal(path)
    assert near(Rendering()(path, 0), frames[0] / 65535)
    assert "only the first can be read" in refusal(path, frame=1)


@pytest.mark.parametrize("metadata", [0, 9000])
def test_a_deep_jpeg_2000_is_refused_wherever_its_description_lies(tmp_path, metadata):
    for kind in ("uint8", "uint16"):
        x, path = RNG.integers(0, np.iinfo(kind).max, (16, 16, 3), kind), tmp_path / "a.jp2"
        whole = imagecodecs.jpeg2k_encode(x, level=0, codecformat="jp2")
        begin = whole.find(b"jp2c") - 4
        more = struct.pack(">I", 24 + metadata) + b"uuid" + bytes(16 + metadata)
        path.write_bytes(whole[:begin] + more + whole[begin:])
        if kind == "uint8":
            assert near(Rendering()(path) / 255, x / 255)
        else:
            assert TOO_DEEP in refusal(path)
    stream = tmp_path / "a.j2k"
    stream.write_bytes(imagecodecs.jpeg2k_encode(x, level=0, codecformat="j2k"))
    assert TOO_DEEP in refusal(stream)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_a_deep_avif_is_refused(tmp_path, bits):
    x = np.full((16, 16, 3), 2 ** (bits - 1), np.uint16 if bits > 8 else np.uint8)
    path = tmp_path / "a.avif"
    path.write_bytes(imagecodecs.avif_encode(x, level=100, bitspersample=bits))
    if bits == 8:
        assert np.abs(Rendering()(path).numpy().astype(int) - 128).max() < 3
    else:
        assert TOO_DEEP in refusal(path)


@pytest.mark.parametrize(("bits", "kind"), [(8, "u1"), (16, ">i2"), (32, ">i4"), (-32, ">f4")])
def test_fits_is_not_read(tmp_path, bits, kind):
    """Pillow takes the bytes of its numbers in the wrong order."""
    cards = ["SIMPLE  =                    T", f"BITPIX  = {bits:20d}", "NAXIS   = 2"]
    cards += [f"NAXIS1  = {W}", f"NAXIS2  = {H}", "END"]
    head = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    path = tmp_path / "a.fits"
    path.write_bytes(head + np.ones((H, W), kind).tobytes().ljust(2880, b"\0"))
    assert "(FITS, a format that is not read)" in refusal(path)


def test_layers_are_no_frames(tmp_path):
    """A PSD file holds the whole image beside its layers."""
    x = integers("uint8", 3)
    planes = np.moveaxis(x, 2, 0)
    layer = struct.pack(">IIIIH", 0, 0, H, W, 3)
    layer += b"".join(struct.pack(">hI", i, 2 + H * W) for i in range(3))
    layer += b"8BIMnorm" + struct.pack(">BBBBI", 255, 0, 0, 0, 12) + bytes(8) + b"\x03one"
    pixels = b"".join(b"\0\0" + bytes(H * W) for _ in range(3))
    layers = struct.pack(">h", 2) + layer * 2 + pixels * 2
    section = struct.pack(">II", len(layers) + 4, len(layers)) + layers
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, H, W, 8, 3) + bytes(8)
    path = tmp_path / "a.psd"
    path.write_bytes(head + section + b"\0\0" + planes.tobytes())
    assert Image.open(path).n_frames == 2
    assert count_frames(path, 10**6) == 1
    assert near(Rendering()(path) / 255, x / 255)
    assert near(Rendering()(path, 0) / 255, x / 255)


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("compression", ["jpeg2000", "png"])
def test_a_tiff_that_pillow_does_not_know_is_read(tmp_path, compression, kind):
    x, path = RNG.integers(0, 256, (16, 16, 3)).astype(kind), tmp_path / "a.tif"
    how = {"level": 0} if compression == "jpeg2000" else {}
    tifffile.imwrite(path, x, photometric="rgb", compression=compression, compressionargs=how)
    most = np.iinfo(kind).max
    assert near(Rendering()(path) / (255 if kind == "uint8" else 1), x / most)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_opacity_in_a_tiff_of_any_layout(tmp_path, kind, photometric, planar):
    colours, path = 3 if photometric == "rgb" else 1, tmp_path / "a.tif"
    x, most = integers(kind, colours + 1), np.iinfo(kind).max
    stored = x if planar == "contig" else np.moveaxis(x, 2, 0)
    how = {"photometric": photometric, "planarconfig": planar}
    tifffile.imwrite(path, stored, extrasamples=["unassalpha"], **how)
    c, alpha = x[..., :-1] / most, x[..., -1:] / most
    expected = alpha * (1 - c if photometric == "miniswhite" else c) + 1 - alpha
    seen = Rendering(bits=32)(path).permute(1, 2, 0).double().numpy()
    assert np.abs(seen - expected).max() < 1.01 / 255
    if (kind, photometric, planar) != ("uint8", "rgb", "contig"):
        tifffile.imwrite(path, stored, extrasamples=["assocalpha"], **how)
        assert "are multiplied by their opacity" in refusal(path)


def test_a_stack_of_which_only_the_first_image_is_listed(tmp_path):
    x, path = RNG.integers(0, 65536, (4, H, W), np.uint16), tmp_path / "a.tif"
    tifffile.imwrite(path, x, imagej=True, truncate=True)  # as ImageJ writes more than 4 GB
    assert "a stack of 4 images" in refusal(path)
    tifffile.imwrite(path, x, imagej=True)
    assert "holds 4 frames" in refusal(path)
    assert near(Rendering()(path, 2), x[2] / 65535)
    tifffile.imwrite(path, x[:1], description="ImageJ=1.54\nimages=4\n")  # one that was taken out
    assert near(Rendering()(path), x[0] / 65535)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_the_files_fault(tmp_path, value):
    x, path = RNG.uniform(0, 1, (H, W)).astype(np.float32), tmp_path / "a.tif"
    x[0, 0] = value
    tifffile.imwrite(path, x)
    said = refusal(path, span=(0.0, 1.0))
    assert "some are not finite" in said
    assert "data.range" not in said  # which would not help


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("side", [(1, 10_000), (10_000, 1), (2, 900), (1, 1)])
def test_the_thinnest_images_are_brought_to_any_size(tmp_path, side, size, fit):
    Image.fromarray(np.full((*side, 3), 51, np.uint8)).save(tmp_path / "a.png")
    png(tmp_path / "b.png", np.full((*side, 3), 13107, np.uint16), 2)
    for name, most in (("a.png", 255), ("b.png", 1)):
        x = Rendering(size=size, fit=fit, background=(1.0, 1.0, 1.0))(tmp_path / name) / most
        assert x.shape == (3, *size)
        assert abs(float(x.min()) - 0.2) < 1e-6  # some of the image is left
        assert fit == "pad" or abs(float(x.max()) - 0.2) < 1e-6
