"""Commands of several processes, in sessions of their own, of which none is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from ae_lightning.training import run_directory
from ae_lightning.training.heartbeat import PARENT

TESTS = Path(__file__).resolve().parents[1]
MARK = "AE_TEST_JOB"  # names a job to all processes of it, whatever launched them


class Job:
    """`python -m command` in a folder, and all processes that it starts.

    Configs may name what lies in the folder of the tests.

    Args:
        environment: what to add to this process's own.
        before: a command to run it by.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        launched = (
            "LOCAL_RANK",
            "WORLD_SIZE",
            "NODE_RANK",
            "MASTER_PORT",
            run_directory.HANDED_ON,
            PARENT,
        )
        inherited = {k: v for k, v in os.environ.items() if k not in launched}
        inherited |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}
        self.mark, self.log = uuid4().hex, folder / f"{uuid4().hex}.log"
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", *command],
            cwd=folder,
            env={**inherited, MARK: self.mark, **(environment or {})},
            start_new_session=True,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def processes(self) -> dict[int, Mapping[str, str]]:
        """The environments of those that live, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = (folder / "environ").read_text()
            except (OSError, UnicodeDecodeError):
                continue
            if f"{MARK}={self.mark}" in text:
                found[int(folder.name)] = dict(
                    v.split("=", 1) for v in text.split("\0") if "=" in v
                )
        return found

    def kill_rank(self, rank: int, signum: int = signal.SIGKILL) -> set[int]:
        """Send a signal to a rank; return the other ranks' process ids."""
        ranks = {}
        for pid, environment in self.processes().items():
            command = Path(f"/proc/{pid}/cmdline").read_text()
            if "ae_lightning" in command and "torch.distributed.run" not in command:
                ranks[int(environment.get("RANK", environment.get("LOCAL_RANK", 0)))] = pid
        os.kill(ranks.pop(rank), signum)
        return set(ranks.values())

    def living(self) -> set[int]:
        """The ids of its processes that have not ended, whether waited for or not."""
        found = set()
        for pid in self.processes():
            with suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.add(pid)
        return found

    def ends(self, seconds: float) -> bool:
        """Whether all of its processes are gone within this time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None and not self.processes():
                return True
            time.sleep(0.1)
        return False

    def end(self, seconds: float = 180) -> tuple[int, str]:
        """Wait for all of its processes to end, and kill those that do not.

        Returns:
            Its exit code, and what it said.
        """
        try:
            if not self.ends(seconds):
                raise TimeoutError(
                    f"processes live on after {seconds:.0f} s: {self.said()[-3000:]}"
                )
        finally:
            self.clear()
        return self.process.returncode, self.said()

    def clear(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        return self.log.read_text()

    def waits_for_state(self, run: Path, former: Path | None = None, seconds: float = 300) -> Path:
        """Wait for a state after the former one, and return it."""
        deadline = time.monotonic() + seconds
        while (newest := next(iter(run_directory.states(run)), None)) in (None, former):
            assert time.monotonic() < deadline, self.said()
            assert self.process.poll() is None, self.said()
            time.sleep(0.1)
        assert newest is not None
        return newest
