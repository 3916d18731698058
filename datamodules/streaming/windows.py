"""An order of examples that is random, and yet touches few chunks at a time."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

from ae_lightning.core.randomness import generator_of

from ..loading.batches import ORDER

CHUNKS: Final = 5  # keeps the order of chunks apart from other draws for (seed, epoch)


class Windows:
    """An epoch's order of n examples, as a function of (seed, epoch), read slice by slice.

    The chunks are permuted, so many consecutive ones make a window, and a window's examples are
    permuted: every example comes once, and any stretch of the order within a window touches no
    chunk outside it. No more than two windows are held. One window of all chunks gives the
    permutation that data in memory have.

    Args:
        n: how many examples there are.
        chunk: how many each chunk holds; the last may hold fewer.
        window: how many chunks make a window.
        seed, epoch: what the order is a function of.

    >>> torch.cat([Windows(10, 2, 2, 0, 0)[i : i + 3] for i in (0, 3, 6, 9)]).unique().tolist()
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(self, n: int, chunk: int, window: int, seed: int, epoch: int) -> None:
        self.n, self.chunk, self.seed, self.epoch = n, chunk, seed, epoch
        generator = generator_of(seed, epoch, 0, 0, CHUNKS)
        order = torch.randperm(-(-n // chunk), generator=generator)
        self.windows = [chunks.sort().values for chunks in order.split(window)]
        self.window_of = order.argsort() // window  # by chunk
        self.ends = list(accumulate(map(self._size, self.windows)))
        self._held: dict[int, Tensor] = {}

    def _size(self, chunks: Tensor) -> int:
        whole = len(chunks) * self.chunk
        last = (self.n - 1) // self.chunk
        return whole - ((last + 1) * self.chunk - self.n if last in chunks else 0)

    def __getitem__(self, places: slice) -> Tensor:
        start, stop, _ = places.indices(self.n)
        parts = [torch.empty(0, dtype=torch.long)]
        while start < stop:
            w = bisect_right(self.ends, start)
            begin, end = (self.ends[w - 1] if w else 0), min(stop, self.ends[w])
            parts.append(self._rows(w)[start - begin : end - begin])
            start = end
        return torch.cat(parts)

    def after(self, rows: Tensor) -> Tensor | None:
        """The chunks of the window that comes after those rows'; None after the last."""
        w = int(self.window_of[rows // self.chunk].max()) + 1
        return self.windows[w] if w < len(self.windows) else None

    def _rows(self, w: int) -> Tensor:
        if w not in self._held:
            self._held = {v: rows for v, rows in self._held.items() if v == w - 1}
            firsts = self.windows[w] * self.chunk
            rows = (firsts[:, None] + torch.arange(self.chunk)).flatten()
            rows = rows[rows < self.n]
            generator = generator_of(self.seed, self.epoch, w, 0, ORDER)
            self._held[w] = rows[torch.randperm(len(rows), generator=generator)]
        return self._held[w]
