"""Pictures and films as files, light enough for a page that holds them all, and in loggers."""

from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .theme import Figure

HEAVIEST = 300_000  # bytes of one file
FRAMES_PER_SECOND = 8


def png(figure: Figure) -> bytes:
    """Render a figure as a PNG; if it takes more than 300 kB, in fewer colours."""
    from PIL import Image

    figure.savefig(file := BytesIO(), format="png", dpi=figure.dpi)
    if file.tell() > HEAVIEST:
        image = Image.open(file).convert("RGB")
        # At most 2 of 255 levels off.
        close = image.point([round(round(v * 63 / 255) * 255 / 63) for v in range(256)] * 3)
        for lighter in chain([close], map(image.quantize, (256, 128, 64, 32))):
            lighter.save(file := BytesIO(), "png")
            if file.tell() <= HEAVIEST:
                break
    return file.getvalue()


def gif(frames: Tensor, heaviest: int = HEAVIEST) -> bytes:
    """Render frames (N, C, H, W) in [0, 1] as a looping GIF, forwards then backwards.

    Each frame has 32 colours; while the file takes more bytes than the heaviest may, the frames are
    halved in size.
    """
    from PIL import Image

    levels = (frames.detach().float().clamp(0, 1) * 255).round().byte().cpu()
    levels = levels.permute(0, 2, 3, 1)  # (N, H, W, C)
    while True:
        images = [Image.fromarray(frame.squeeze(-1).numpy()) for frame in levels]
        forwards = [image.quantize(32, dither=Image.Dither.NONE) for image in images]
        first, *others = [*forwards, *forwards[-2:0:-1]]
        duration = 1000 // FRAMES_PER_SECOND
        how = {"save_all": True, "append_images": others, "duration": duration, "loop": 0}
        first.save(film := BytesIO(), "gif", **how)
        if film.tell() <= heaviest or min(levels.shape[1:3]) < 2:
            return film.getvalue()
        levels = levels[:, ::2, ::2]


def hand_over(logger: Any, key: str, stem: Path, step: int) -> None:
    """Give STEM.png, and STEM.gif if there is one, to a logger that takes images."""
    from PIL import Image

    image, film = stem.with_suffix(".png"), stem.with_suffix(".gif")
    if hasattr(logger, "log_image"):  # Weights & Biases
        logger.log_image(key, [str(image)], step=step)
        if film.exists():
            logger.log_video(f"{key}_film", [str(film)], step=step, format=["gif"])
    elif hasattr(logger.experiment, "add_image"):  # TensorBoard
        pixels = np.asarray(Image.open(image).convert("RGB"))
        logger.experiment.add_image(key, pixels, step, dataformats="HWC")
