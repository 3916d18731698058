"""What must hold on a GPU, beside the tests that need one."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ae_lightning.training.run_directory import states
from bench.product import TESTS, command, run_here

from .probes import SEEN
from .scale import Scale
from .table import Row


def probe(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"gpu.probes.{name}", "init_args": arguments}


def waits(scale: Scale) -> Iterator[Row]:
    """Where the images lie, and how often a step waits for the GPU."""
    kinds = [probe("Residence"), *([probe("Waits")] if scale.on_gpu else [])]
    for conv in (False, True):
        setting = scale.setting(conv, 128)
        options = scale.trainer(*kinds, max_epochs=1)
        with command(setting, scale.root, **options) as (arguments, _):
            run_here(arguments)
        where = SEEN["residence"]
        yield Row("resident", setting.name, [where == scale.device.type], 1, note=f"on the {where}")
        if not scale.on_gpu:
            continue
        for kind, goal in (("other", 0.0), ("logging", None)):
            each = SEEN["waits"][kind] / SEEN["steps"][kind]
            places = [p for p in SEEN["places"].most_common(3) if p[0].startswith(kind)]
            note = f"over {SEEN['steps'][kind]} steps{'; ' if places else ''}" + ", ".join(
                f"{n} at {place}" for place, n in places
            )
            yield Row(
                "waits", f"{setting.name}, {kind} steps", [each], goal, at_most=True, note=note
            )


def resume(scale: Scale) -> Iterator[Row]:
    """Whether a run that SIGTERM stopped within an epoch goes on to the same bits."""
    setting = scale.setting(True, 512)
    stop = setting.steps + setting.steps // 2
    with tempfile.TemporaryDirectory() as folder:
        whole, stopped = (Path(folder, name) for name in ("whole", "stopped"))
        for run, extra in ((whole, []), (stopped, [probe("Stop", step=stop)])):
            options = scale.trainer(*extra, max_epochs=2, deterministic=True)
            with command(setting, scale.root, **options) as (arguments, _):
                run_here([*arguments[:-1], str(run)], 128 + signal.SIGTERM if extra else 0)
                if extra:
                    run_here(["fit", "--run", str(run), "--resume", "--trust", "gpu"])
        expected, found = state_of(whole), state_of(stopped)
    torch.use_deterministic_algorithms(False)
    same = expected.keys() == found.keys() and all(
        torch.equal(expected[name], found[name]) for name in expected
    )
    note = f"{len(found)} tensors to the bit, stopped at step {stop} of {2 * setting.steps}"
    yield Row("resume", setting.name, [same], 1, note=note)


def state_of(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run's newest state: of the model, and of its optimizer."""
    state = torch.load(states(run)[0], map_location="cpu", weights_only=True)
    return dict(tensors({k: state[k] for k in ("state_dict", "optimizer_states")}))


def tensors(node: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(node, torch.Tensor):
        yield name, node
    elif isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from tensors(value, f"{name}.{key}")


def sharded(scale: Scale) -> Iterator[Row]:
    """Whether FSDP2 on one device learns what plain training does."""
    if not scale.on_gpu:
        yield Row("fsdp", "mlp 128", note="FSDP2 needs a GPU")
        return
    setting, losses = scale.setting(False, 128), {}
    for way in ([], ["--config", "fsdp"]):
        options = scale.trainer(max_epochs=1, log_every_n_steps=10)
        with command(setting, scale.root, **options) as (arguments, _):
            run_here([*arguments, *way])
            with Path(arguments[-1], "metrics.csv").open(newline="") as file:
                losses[bool(way)] = [
                    float(r["train/loss"]) for r in csv.DictReader(file) if r["train/loss"]
                ]
    dist.destroy_process_group()
    off = max(abs(a - b) / abs(b) for a, b in zip(losses[True], losses[False], strict=True))
    note = f"the largest relative difference of {len(losses[True])} losses from plain training's"
    yield Row("fsdp", setting.name, [off], 1e-3, at_most=True, note=note)


def tests(scale: Scale) -> Iterator[Row]:
    """The tests that are skipped elsewhere, in a process of their own."""
    files = [str(p) for p in TESTS.rglob("test_*.py") if "pytest.mark.gpu" in p.read_text()]
    pytest = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(pytest, cwd=TESTS.parent, capture_output=True, text=True)
    print(done.stdout[-6000:] if done.returncode else "", end="")
    passed = done.returncode == 0
    yield Row("tests", "pytest -m gpu", [passed], 1, note=done.stdout.strip().rpartition("\n")[2])
