"""Processes that several machines, or a cluster's scheduler, would start."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.jobs import Job
from soak import eventful
from soak.experiment import Failed

SECONDS = 240.0  # for a whole run
WITHIN = 60.0  # for all processes to end after one has
NODES = ("ae_node_0", "ae_node_1")
ADDRESSES = ("10.213.77.1", "10.213.77.2")
FIT = ["fit", "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())


@contextmanager
def two_namespaces() -> Iterator[None]:
    """Make two network namespaces, joined by one virtual cable."""
    try:
        for node in NODES:
            ip("netns", "add", node)
        ip("link", "add", "ae_veth_0", "type", "veth", "peer", "name", "ae_veth_1")
        for i, (node, address) in enumerate(zip(NODES, ADDRESSES, strict=True)):
            ip("link", "set", f"ae_veth_{i}", "netns", node)
            ip("-n", node, "addr", "add", f"{address}/24", "dev", f"ae_veth_{i}")
            ip("-n", node, "link", "set", f"ae_veth_{i}", "up")
            ip("-n", node, "link", "set", "lo", "up")
        yield
    finally:
        for node in NODES:
            subprocess.run(["ip", "netns", "del", node], capture_output=True, check=False)


def node(i: int, folder: Path, arguments: list[str]) -> Job:
    """Start torchrun on one of the nodes, with one process there."""
    rendezvous = ["--master-addr", ADDRESSES[0], "--master-port", "29517"]
    torchrun = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(i), *rendezvous]
    count = ["--trainer.num_nodes", "2", "--trainer.devices", "1"]
    return Job(
        ["torch.distributed.run", *torchrun, "-m", "ae_lightning", "--", *arguments, *count],
        folder,
        {"GLOO_SOCKET_IFNAME": f"ae_veth_{i}"},
        ["ip", "netns", "exec", NODES[i]],
    )


def finish(*jobs: Job, seconds: float = SECONDS, succeed: bool = True) -> None:
    """Wait for jobs to end, as they should, and leave none of their processes."""
    try:
        for job in jobs:
            if not job.ends(seconds):
                raise Failed(f"processes live on after {seconds:.0f} s: {job.said()[-3000:]}")
            if (job.process.returncode == 0) != succeed:
                raise Failed(f"exit code {job.process.returncode}: {job.said()[-3000:]}")
    finally:
        for job in jobs:
            job.clear()


def on_one_node(folder: Path, config: str) -> None:
    arguments = [*FIT, "--config", config, "--run", "one", "--trainer.devices", "2"]
    finish(Job(["ae_lightning", *arguments], folder))


def two_nodes() -> Iterator[str]:
    """Train on two nodes as on one, and lose a node."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        yield "skipped: network namespaces need root and iproute2"
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = str(eventful.write(folder))
        try:
            with two_namespaces():
                yield from in_namespaces(folder, config)
        except OSError as error:
            yield f"skipped: no network namespaces here: {error}"


def in_namespaces(folder: Path, config: str) -> Iterator[str]:
    on_one_node(folder, config)
    arguments = [*FIT, "--config", config, "--run"]
    finish(*(node(i, folder, [*arguments, "two"]) for i in range(2)))
    if wrong := eventful.differences(folder / "one", folder / "two"):
        raise Failed(f"two nodes differ from one in {', '.join(wrong)}")
    yield "two nodes of one process each equal one node of two, to the bit"

    long = [*arguments, "lost", "--trainer.max_epochs", "10000"]
    jobs = [node(i, folder, long) for i in range(2)]
    try:
        jobs[0].waits_for_state(folder / "lost")
        time.sleep(2)
        began = time.monotonic()
        jobs[1].clear()
        finish(jobs[0], seconds=WITHIN, succeed=False)
    finally:
        jobs[1].clear()
    said = [line for line in jobs[0].said().splitlines() if line.startswith("ae-lightning:")]
    if len(said) != 1:
        raise Failed(f"expected one sentence, not {said}")
    seconds = time.monotonic() - began
    yield f"a node that dies takes the other down in {seconds:.1f} s: {said[0]}"


def slurm() -> Iterator[str]:
    """Train on two processes with the environment that SLURM gives, as on Lightning's own two."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = str(eventful.write(folder))
        on_one_node(folder, config)
        arguments = [*FIT, "--config", config, "--run", "two", "--trainer.devices", "2"]
        job = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2"}
        job |= {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
        job |= {"SLURM_NODELIST": "127.0.0.1", "MASTER_ADDR": "127.0.0.1"}
        tasks = [{"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in range(2)]
        finish(*(Job(["ae_lightning", *arguments], folder, job | t) for t in tasks))
        if wrong := eventful.differences(folder / "one", folder / "two"):
            raise Failed(f"under SLURM's environment the run differs in {', '.join(wrong)}")
        yield "two processes under SLURM's environment equal two of Lightning's own, to the bit"


def frozen() -> Iterator[str]:
    """Freeze a rank, which closes no connection: the others end all the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = str(eventful.write(folder))
        for rank in range(2):
            arguments = [*FIT, "--config", config, "--run", str(rank), "--trainer.devices", "2"]
            command = ["ae_lightning", *arguments, "--trainer.max_epochs", "10000"]
            job = Job(command, folder)
            try:
                job.waits_for_state(folder / str(rank))
                began, others = time.monotonic(), job.kill_rank(rank, signal.SIGSTOP)
                while alive := others & job.living():
                    if time.monotonic() - began > WITHIN:
                        raise Failed(f"{alive} live {WITHIN:.0f} s after rank {rank} froze")
                    time.sleep(0.2)
                yield f"rank {rank} frozen: the other ended in {time.monotonic() - began:.1f} s"
            finally:
                job.clear()


def rank_signals() -> Iterator[str]:
    """Stop two processes by a signal to one of them, or to both, at any time; resume; compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = str(eventful.write(folder, epochs=30))
        on_one_node(folder, config)
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
        sent: list[tuple[int | str, signal.Signals]] = [(0, signal.SIGTERM), (1, signal.SIGTERM)]
        sent += [(1, signal.SIGINT), ("all", signal.SIGINT), ("all", signal.SIGTERM)]
        for n, (whom, signum) in enumerate([*sent, ("torchrun", signal.SIGTERM)]):
            arguments = [*FIT, "--config", config, "--run", str(n), "--trainer.devices", "2"]
            through = whom == "torchrun"
            command = [*torchrun, "ae_lightning", "--"] if through else ["ae_lightning"]
            job = Job([*command, *arguments], folder)
            try:
                job.waits_for_state(folder / str(n))
                time.sleep(random.uniform(0, 2))
                if whom == "all":
                    os.killpg(job.process.pid, signum)
                elif through:
                    os.kill(job.process.pid, signum)
                else:
                    job.kill_rank(int(whom), signum)
                if not job.ends(WITHIN):
                    raise Failed(f"processes live {WITHIN:.0f} s after {signum.name}")
                code = job.process.returncode
                if code != 128 + signum and not (through and code):
                    raise Failed(f"{signum.name} to {whom}: exit code {code}: {job.said()[-3000:]}")
            finally:
                job.clear()
            resumed = [*FIT, "--run", str(n), "--resume", "--trainer.devices", "2"]
            finish(Job(["ae_lightning", *resumed], folder))
            if wrong := eventful.differences(folder / "one", folder / str(n)):
                raise Failed(f"{signum.name} to {whom}: {', '.join(wrong)} differ")
            yield f"{signum.name} to {whom}: exit code {code}, then equal to the bit"


EXPERIMENTS = {
    "two_nodes": two_nodes,
    "slurm": slurm,
    "frozen": frozen,
    "rank_signals": rank_signals,
}
