"""The order of an epoch's examples: random, and yet touching few chunks at a time."""

from bisect import bisect_right
from itertools import accumulate

import torch
from torch import Tensor

from ae_lightning.core.randomness import generator_of

from .purposes import ORDER_OF_CHUNKS, ORDER_OF_ROWS


class Order:
    """An epoch's order of n examples, a function of (seed, epoch), read slice by slice.

    The chunks are permuted, consecutive ones form a window, and the examples of a window are
    permuted: every example comes once, and any stretch of the order within a window touches no
    chunk outside it. At most two windows are held. The default, one window of one chunk, is a
    plain permutation.

    Args:
        chunk: how many examples each chunk holds; the last may hold fewer. All n, if None.
        window: how many chunks form a window.
        device: where the rows are wanted.

    >>> torch.cat([Order(10, 0, 0, chunk=2, window=2)[i : i + 3] for i in (0, 3, 6, 9)]).unique()
    tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    def __init__(
        self,
        n: int,
        seed: int,
        epoch: int,
        chunk: int | None = None,
        window: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.n, self.seed, self.epoch, self.chunk = n, seed, epoch, n if chunk is None else chunk
        self.device = torch.device(device)
        generator = generator_of(seed, epoch, 0, 0, ORDER_OF_CHUNKS)
        order = torch.randperm(-(-n // self.chunk), generator=generator)
        self.windows = [chunks.sort().values for chunks in order.split(window)]
        self.window_of = order.argsort() // window  # by chunk
        self.ends = list(accumulate(map(self._size, self.windows)))
        self._held: dict[int, Tensor] = {}

    def _size(self, chunks: Tensor) -> int:
        return int((self.n - chunks * self.chunk).clamp(max=self.chunk).sum())

    def __getitem__(self, places: slice) -> Tensor:
        if len(self.windows) == 1:  # which needs no search
            return self._rows(0)[places]
        start, stop, _ = places.indices(self.n)
        parts = [torch.empty(0, dtype=torch.long, device=self.device)]
        while start < stop:
            w = bisect_right(self.ends, start)
            begin, end = (self.ends[w - 1] if w else 0), min(stop, self.ends[w])
            parts.append(self._rows(w)[start - begin : end - begin])
            start = end
        return torch.cat(parts)

    def after(self, rows: Tensor) -> Tensor | None:
        """The chunks of the window that follows those of the rows; None after the last."""
        w = int(self.window_of[rows // self.chunk].max()) + 1
        return self.windows[w] if w < len(self.windows) else None

    def _rows(self, w: int) -> Tensor:
        if w not in self._held:
            self._held = {v: rows for v, rows in self._held.items() if v == w - 1}
            generator = generator_of(self.seed, self.epoch, w, 0, ORDER_OF_ROWS)
            if len(self.windows) == 1:  # of all rows, which need not be held beside their order
                order = torch.randperm(self.n, generator=generator)
            else:
                firsts = self.windows[w] * self.chunk
                rows = (firsts[:, None] + torch.arange(self.chunk)).flatten()
                rows = rows[rows < self.n]
                order = rows[torch.randperm(len(rows), generator=generator)]
            # Once for all batches: a copy per batch could make each wait for the device.
            self._held[w] = order.to(self.device, non_blocking=self.device.type == "cuda")
        return self._held[w]
