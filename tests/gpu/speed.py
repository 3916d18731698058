"""Speed and memory of training, against a loop by hand with the same settings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import hand
from bench.data import images
from bench.product import BARE, Setting, fit

from .scale import Scale
from .table import Row

# What `fit` and the loop by hand are told, and the goal for the ratio of their speeds.
MODES: dict[str, tuple[list[str], dict[str, Any], float | None]] = {
    "plain": ([], {}, None),
    "bf16-mixed": (["--trainer.precision", "bf16-mixed"], {"half": True}, None),
    "compiled": (["--compile", "true"], {"compiled": True}, 0.9),
    "graphs": (["--compile", "reduce-overhead"], {"compiled": "reduce-overhead"}, 0.9),
}
MICRO = 1e6


def speed(scale: Scale, mode: str) -> Iterator[Row]:
    """P1 to P3 in a mode, and the peak of memory."""
    x = images(scale.root)[:55_000].to(scale.device)
    for conv, batch in ((False, 128), (False, 512), (True, 128), (True, 512)):
        yield from against_hand(scale, scale.setting(conv, batch), x, mode)


def against_hand(scale: Scale, setting: Setting, x: torch.Tensor, mode: str) -> Iterator[Row]:
    flags, same, goal = MODES[mode]
    validation = {"limit_val_batches": 0} if "compiled" in same else {}
    torch._dynamo.reset()
    with Peak(scale, x.nbytes) as by_hand:
        expected = hand.train(
            x, setting.conv, setting.batch, setting.steps, epochs=scale.epochs, **same
        )[1:]
    ways = {"shipped": {}, "bare": BARE} if setting.name == "mlp 128" else {"shipped": {}}
    for way, less in ways.items():
        torch._dynamo.reset()
        with Peak(scale) as ours:
            found = fit(setting, scale.root, *flags, **scale.trainer(**validation, **less))[1:]
        ratios = [a / b for a, b in zip(expected, found, strict=True)]
        best = f"{min(found) * MICRO:.0f} µs a step, by hand {min(expected) * MICRO:.0f}"
        memory = f"; {ours.megabytes:.0f} MB at most, by hand {by_hand.megabytes:.0f}"
        note = best + (memory if scale.on_gpu else "")
        yield Row("speed", f"{setting.name} {way}, {mode}", ratios, goal, note=note)


class Peak:
    """The most memory of a GPU that was taken meanwhile, in MB, and so many bytes from before."""

    def __init__(self, scale: Scale, held: int = 0) -> None:
        self.scale, self.held, self.megabytes = scale, held, 0.0

    def __enter__(self) -> Peak:
        if self.scale.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            self.held -= torch.cuda.memory_allocated()
        return self

    def __exit__(self, *_: object) -> None:
        if self.scale.on_gpu:
            self.megabytes = (self.held + torch.cuda.max_memory_allocated()) / 1e6


THROUGHPUTS = (  # sides, images, batch, mode, goal in images a second
    (32, 50_000, 128, "plain", None),
    (32, 50_000, 512, "plain", 100_000.0),
    (32, 50_000, 2048, "plain", None),
    (32, 50_000, 2048, "bf16-mixed", None),
    (64, 12_500, 256, "plain", None),
    (64, 12_500, 256, "bf16-mixed", None),
)


def throughput(scale: Scale) -> Iterator[Row]:
    """Images a second of `--config vae --config conv`, on images of CIFAR-10's shape and larger."""
    with tempfile.TemporaryDirectory() as folder:
        for side, n, batch, mode, goal in THROUGHPUTS:
            n = max(3 * batch, int(n * scale.share))
            path = Path(folder, f"{side}-{n}.npy")
            if not path.exists():
                draw = np.random.default_rng(0).integers(0, 256, (n, 3, side, side), np.uint8)
                np.save(path, draw)
            setting = scale.setting(True, batch, n - 2 * min(-(-n // 10), 5000))
            seconds = fit(setting, path, *MODES[mode][0], **scale.trainer())[1:]
            rates = [batch / s for s in seconds]
            note = f"images a second; {min(seconds) * MICRO:.0f} µs a step"
            yield Row("images", f"{side}×{side} conv {batch}, {mode}", rates, goal, note=note)
