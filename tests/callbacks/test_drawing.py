"""What pictures are drawn with: images are sharp to the pixel, and files are light."""

import io
import time
import warnings
from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning.callbacks.drawing.images import (
    pixel_figure,
    place,
    show_image,
    signed_colours,
    tile,
)
from ae_lightning.callbacks.drawing.saving import gif, png
from ae_lightning.callbacks.drawing.theme import house_style, legend, new_figure
from ae_lightning.callbacks.latent_traversal import film


def drawn(image: np.ndarray, scale: int, margin: int) -> tuple[bytes, np.ndarray]:
    """The file of an image, enlarged, within a white margin; and its pixels (H, W, 3)."""
    height, width = (scale * side for side in image.shape[:2])
    with house_style():
        figure = pixel_figure(width + 2 * margin, height + 2 * margin)
        show_image(place(figure, margin, margin, width, height), image, sharp=True)
        file = png(figure)
    pixels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), np.float64)
    assert (pixels[:margin] == 255).all()
    return file, pixels[margin:-margin, margin:-margin]


def test_a_tile_holds_its_images_apart_by_white() -> None:
    images = torch.rand(2, 3, 1, 4, 5)
    tiled = torch.as_tensor(tile(images))[..., 0]
    assert tiled.shape == (2 * 5 - 1, 3 * 6 - 1)
    assert tiled[5:9, 12:17].equal(images[1, 2, 0])
    assert tiled[4].eq(1).all()
    assert tiled[:, [5, 11]].eq(1).all()


def test_signed_images_have_zero_in_the_middle() -> None:
    grey = signed_colours(torch.tensor([0.0, 2.0, -2.0, 9.0]).view(4, 1, 1, 1), 2.0)
    assert grey[0].min() > 0.95  # white
    assert grey[1, 0] > grey[1, 2]  # red
    assert grey[2, 2] > grey[2, 0]  # blue
    assert grey[3].equal(grey[1])
    assert signed_colours(torch.zeros(1, 3, 1, 1), 1.0).eq(0.5).all()


@pytest.mark.parametrize("shape", [(9, 14, 1), (9, 14, 3)])
def test_every_pixel_of_a_sharp_image_is_a_square_of_the_picture_in_its_own_colour(shape) -> None:
    image = np.random.default_rng(0).random(shape, np.float32)
    _, pixels = drawn(image, scale=4, margin=9)
    squares = (255 * image).repeat(4, axis=0).repeat(4, axis=1)
    assert pixels.shape == (36, 56, 3)
    assert np.abs(pixels - squares).max() < 1.5


def test_a_figure_is_saved_at_the_resolution_it_has_now() -> None:
    figure = pixel_figure(130, 65)
    figure.set_dpi(2 * figure.dpi)
    assert Image.open(io.BytesIO(png(figure))).size == (260, 130)


def test_a_photograph_keeps_its_colours() -> None:
    smooth = np.stack(np.meshgrid(np.arange(200), np.arange(150)), axis=2) / 200
    photograph = np.dstack([smooth, np.ones((150, 200))]).astype(np.float32)
    _, pixels = drawn(photograph, scale=1, margin=20)
    assert np.abs(pixels - 255 * photograph).max() <= 1


def test_a_picture_too_heavy_by_little_is_rounded_by_two_levels_at_most() -> None:
    noise = np.random.default_rng(0).random((300, 350, 3), np.float32)
    file, pixels = drawn(noise, scale=1, margin=20)
    assert 200_000 < len(file) <= 300_000
    assert np.abs(pixels - 255 * noise).max() < 3


def test_a_picture_of_noise_stays_light_on_a_white_ground() -> None:
    noise = np.random.default_rng(0).random((400, 500, 3), np.float32)
    file, pixels = drawn(noise, scale=1, margin=20)
    assert len(file) <= 300_000
    assert np.abs(pixels - 255 * noise).mean() < 30


def test_a_film_shows_every_dimension_and_plays_forwards_and_backwards(tmp_path) -> None:
    images = torch.rand(6, 4, 1, 3, 3)
    frames = film(images, (0.0, 1.0))
    assert frames.shape == (4, 1, 2 * 2 * 4, 2 * 5 * 4)
    assert frames[2, :, 8:14:2, 0:6:2].equal(images[5, 2])
    assert film(torch.rand(6, 4, 1, 50, 50), (0.0, 1.0)).shape == (4, 1, 2 * 51, 5 * 51)
    (tmp_path / "a.gif").write_bytes(gif(frames))
    with Image.open(tmp_path / "a.gif") as opened:
        assert opened.n_frames == 6
        assert opened.info["loop"] == 0
        opened.seek(2)
        shown = torch.as_tensor(np.asarray(opened.convert("L")) / 255.0)
    assert (shown - frames[2, 0]).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 64, 64)])
def test_a_film_is_light_whatever_it_shows(shape, tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = film(torch.rand(10, 13, *shape, generator=generator), (0.0, 1.0))  # the worst: noise
    (tmp_path / "noise.gif").write_bytes(gif(frames))
    assert 10_000 < (tmp_path / "noise.gif").stat().st_size <= 300_000
    with Image.open(tmp_path / "noise.gif") as opened:
        assert opened.n_frames >= 12
        assert min(opened.size) >= 32


def test_a_legend_warns_of_nothing_where_the_machine_is_busy(monkeypatch) -> None:
    axes = new_figure(3, 2).subplots()
    axes.plot([0, 1], label="a line")
    legend(axes)
    monkeypatch.setattr(time, "perf_counter", count(0, 5).__next__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(axes.figure)
