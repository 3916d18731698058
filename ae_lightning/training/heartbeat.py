"""End every process of a training soon after one of them has died.

Over gloo, a collective operation notices a closed connection at once; but for a frozen process it
waits half an hour.
"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.printing import tell

INTERVAL: Final = 5.0  # seconds between two signs of life
SILENCE: Final = 40.0  # seconds without one, after which a process counts as dead

# What the store keeps: a count for every rank, and why the training ends.
SIGN: Final = "ae_lightning/sign/{}"
DEAD: Final = "ae_lightning/dead"

PARENT: Final = "AE_LIGHTNING_PARENT"  # tells the processes that rank zero starts its id

# What collective operations say when a process that they need is gone.
GONE: Final = re.compile(
    r"gloo.*(Connection|closed|reset|refused|Timed out|Broken pipe)|NCCL error|ncclRemoteError"
    r"|failed to recv, got 0 bytes|Connection reset by peer|Broken pipe",
    re.DOTALL,
)


def lost(error: BaseException) -> bool:
    """Whether a collective operation failed because one of the processes is gone."""
    if not isinstance(error, RuntimeError) or rank_and_world()[1] == 1:
        return False
    return isinstance(error, dist.DistError) or GONE.search(str(error)) is not None


def be_parent() -> None:
    """Tell the processes that this one is about to start to end when it does."""
    if "LOCAL_RANK" not in os.environ:
        os.environ[PARENT] = str(os.getpid())


class Heartbeat(Callback):
    """Give signs of life to the other processes, and end this one if another gives none.

    The signs are kept in the store through which the processes met. Rank zero watches all others,
    and they watch rank zero, which tells them which one it has found dead. A process that a
    launcher has started also ends with that launcher, even before it has met the others.

    Args:
        interval: seconds between two signs of life.
        patience: seconds without one, after which a process counts as dead.
    """

    def __init__(self, interval: float = INTERVAL, patience: float = SILENCE) -> None:
        self.interval, self.patience = interval, patience
        self.signs: dict[int, float] = {}  # when each watched rank last gave one
        self.done = threading.Event()
        self._store: Any = None
        self._launcher: Any = None
        self._parent = parent()
        if self._parent is not None:
            self._start(self._judge)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
        alone = rank_and_world()[1] == 1
        if alone or address is None or port is None or self._store is not None:
            return
        self._launcher = trainer.strategy.launcher
        # A connection of its own: an operation that waits may hold the process group's.
        timeout = timedelta(seconds=self.patience)
        self.meet(dist.TCPStore(address, int(port), timeout=timeout))  # type: ignore[attr-defined]

    def meet(self, store: Any) -> None:
        """Begin to give signs and to watch, through this store."""
        self._store = store
        self._start(self._give_and_take)
        if self._parent is None:
            self._start(self._judge)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.done.set()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        # Said here, since a launcher may end this process before it has cleaned up.
        if lost(exception):
            say(f"another of the {rank_and_world()[1]} processes has ended")
        self.done.set()

    @staticmethod
    def _start(run: Callable[..., None], *arguments: str) -> None:
        threading.Thread(target=run, args=arguments, name="heartbeat", daemon=True).start()

    def _give_and_take(self) -> None:
        """Give a sign of life, and look for those of the others, until training is done."""
        rank, world = rank_and_world()
        others = range(1, world) if rank == 0 else [0]
        last: dict[int, str | None] = {}
        count = 0
        while not self.done.is_set():
            count += 1
            # If the store does not answer, rank zero gives no sign either.
            with suppress(RuntimeError):
                self._store.set(SIGN.format(rank), str(count))
                for other in others:
                    sign = self._read(SIGN.format(other))
                    if sign != last.get(other):
                        last[other], self.signs[other] = sign, time.monotonic()
                if rank > 0 and (why := self._read(DEAD)) is not None:
                    self.end(why)
            # A rank that has never given a sign cannot be missed: look for first signs often.
            met = len(self.signs) == len(others)
            self.done.wait(self.interval if met else self.interval / 25)

    def _read(self, key: str) -> str | None:
        return self._store.get(key).decode() if self._store.check([key]) else None

    def _judge(self) -> None:
        """End this process if another has given no sign for too long."""
        while not self.done.wait(self.interval / 5):
            if self._parent is not None and os.getppid() != self._parent:
                self.end("the process that started it has ended")
            for other, time_of_sign in list(self.signs.items()):
                if time.monotonic() - time_of_sign > self.patience:
                    self._tell(f"rank {other} gave no sign of life for {self.patience:g} s")

    def _tell(self, why: str) -> None:
        if rank_and_world()[0] == 0:
            self._start(self._announce, why)  # it may find no connection, and wait for ever
            self.done.wait(1.2 * self.interval)  # for the others to read it
        self.end(why)

    def _announce(self, why: str) -> None:
        with suppress(RuntimeError):
            self._store.set(DEAD, why)

    def end(self, why: str) -> None:
        """End this process, which may be waiting where no exception can reach it."""
        if self.done.is_set():
            return
        say(why)
        if hasattr(self._launcher, "procs"):
            self._launcher.kill(signal.SIGKILL)
        os._exit(1)


def say(why: str) -> None:
    """Say on stderr that this process ends, and why."""
    rank = rank_and_world()[0]
    line = f"ae-lightning: rank {rank} ends because {why}; continue the run with --resume"
    tell(line, file=sys.stderr)


def parent() -> int | None:
    """Return the id of the process that this one must end with, if a launcher has started it."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return os.getppid()
    if int(os.environ.get("LOCAL_RANK", 0)) > 0 and PARENT in os.environ:
        return int(os.environ[PARENT])
    return None
