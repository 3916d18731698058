"""What SIGTERM does where nothing has been told to wait for it: it ends with an exception."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def raising_at_sigterm(exception: Callable[[int], BaseException]) -> Iterator[Handler | None]:
    """Let SIGTERM raise an exception at once, as Ctrl-C does; Python would clean up nothing.

    Args:
        exception: makes it of the signal's number.

    Yields:
        The handler; None in a thread, which can have none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    pid = os.getpid()

    def end(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != pid:  # a data loader's worker, which has inherited this handler
            os._exit(128 + signum)
        raise exception(signum)

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield end
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, former)
