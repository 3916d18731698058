"""Half precision, accumulated gradients and compiled networks train as plain training does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch._dynamo.utils import counters

from ae_lightning import AutoEncoder, UsageError
from ae_lightning.cli import fit as fit_command
from ae_lightning.cli import main as cli
from ae_lightning.core.types import Pair
from ae_lightning.regularizers import Regularizer
from ae_lightning.training.compilation import Compilation
from ae_lightning.training.sharding import FullySharded, shard
from helpers import cases, one_process
from helpers.ranks import Losses
from helpers.training import fit

PENALTIES = ("SparsityKL", "MMD, one code", "TotalCorrelation", "ContractiveHessian, projected")
PARTS = (
    *("Laplace", "VampPrior", "Categorical", "UnitVariance", "convolutions"),
    *("residual", "residual, in place"),
)
CASES = [*cases.SYSTEMS, "Contractive", "Orthogonality", *PENALTIES, *PARTS]
JACOBIANS = ("Contractive", "ContractiveAutoEncoder", "ContractiveHessian, projected")

pytestmark = pytest.mark.filterwarnings("ignore")


def train(
    case: str, folder: Path, batch: int = one_process.GLOBAL, **options: Any
) -> dict[str, Any]:
    """The rows that training logs, and the model it ends with."""
    model, log = cases.CASES[case](), Losses(folder)
    data = one_process.OfOneProcess(batch, one_process.corruption())
    everything = data.pairs("train", range(one_process.TRAIN))
    model.start(everything.x)
    first = loss(model, everything)
    limits = {"max_epochs": one_process.EPOCHS, "limit_val_batches": 1, "num_sanity_val_steps": 0}
    trainer = fit(model, data, folder, logger=log, inference_mode=False, **limits | options)
    gain = first - loss(model, everything)
    return {"rows": log.rows, "model": model, "steps": trainer.global_step, "gain": gain}


@torch.no_grad()
def loss(model: AutoEncoder, pair: Pair) -> float:
    dtype = next(model.parameters()).dtype
    pair = pair._replace(x_tilde=pair.x_tilde.to(dtype), x=pair.x.to(dtype))
    return float(model.eval().objective(model.propagate(pair))["loss"])


def largest_error(found: dict[str, Any], expected: dict[str, Any], name: str) -> float:
    """The largest relative difference of a metric, over the rows that log it."""
    rows = [(a, b) for a, b in zip(found["rows"], expected["rows"], strict=True) if name in b]
    return max(abs(a[name] - b[name]) / max(abs(b[name]), 1e-3) for a, b in rows)


# ------------------------------------------------------------------------------ bfloat16


@pytest.mark.parametrize("case", CASES)
def test_half_precision_trains_as_single_does(case: str, tmp_path: Path) -> None:
    """Every term to 2⁻⁸ of the loss, which is what one rounding to bfloat16 may change."""
    half = train(case, tmp_path, precision="bf16-mixed")
    single = train(case, tmp_path)
    for name in single["rows"][0].keys() - {"lr"}:
        rows = zip(half["rows"], single["rows"], strict=True)
        assert all(abs(a[name] - b[name]) < 2**-8 * abs(b["train/loss"]) for a, b in rows), name
    assert {p.dtype for p in half["model"].parameters()} == {torch.float32}


@pytest.mark.parametrize("case", JACOBIANS)
def test_penalties_on_a_jacobian_are_of_single_precision(case: str, tmp_path: Path) -> None:
    """Differences of Jacobians would drown in the rounding of half precision."""
    half = train(case, tmp_path, precision="bf16-mixed")
    single = train(case, tmp_path)
    for name in single["rows"][0].keys() - {"lr", "train/loss", "train/distortion"}:
        assert largest_error(half, single, name) < 1e-4, name


# -------------------------------------------------------------- accumulated gradients


@pytest.mark.parametrize(
    "case", ["LinearAutoEncoder", "SparseAutoEncoder", "Contractive", "Orthogonality"]
)
def test_two_half_batches_accumulate_to_the_whole(case: str, tmp_path: Path, monkeypatch) -> None:
    """… where nothing is random, and no penalty is on the batch as a whole."""
    monkeypatch.setattr(one_process, "corruption", lambda: None)
    # 57 examples are 5 halves, the last of which is a step of its own; here it is left out.
    limit = {"limit_train_batches": 4}
    halves = train(case, tmp_path, one_process.GLOBAL // 2, accumulate_grad_batches=2, **limit)
    whole = train(case, tmp_path)
    assert halves["steps"] == whole["steps"] == one_process.STEPS
    for a, b in zip(halves["model"].parameters(), whole["model"].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_every_system_trains_on_accumulated_gradients(case: str, tmp_path: Path) -> None:
    found = train(case, tmp_path, 11, accumulate_grad_batches=2, limit_train_batches=4)
    assert found["steps"] == one_process.STEPS
    assert found["gain"] > 0


# ---------------------------------------------------------------- compiled networks


class Calls(Regularizer):
    """Note how a penalty sees encoder and decoder, and take a derivative through both."""

    def __init__(self) -> None:
        super().__init__()
        self.compiled: set[bool] = set()

    def forward(self, model: AutoEncoder, out: Any) -> Tensor:
        self.compiled |= {n._compiled_call_impl is not None for n in (model.encoder, model.decoder)}
        return torch.func.vjp(model.reconstruct, out.x)[1](out.x)[0].square().flatten(1).sum(1)


@pytest.mark.parametrize("case", CASES)
def test_compiled_networks_train_as_they_are_written(case: str, tmp_path: Path) -> None:
    """… in double precision: a total correlation near 0 is the difference of large terms."""
    torch._dynamo.reset()
    counters.clear()
    double: Any = {"precision": "64-true"}
    compiled = train(case, tmp_path, callbacks=[Compilation("aot_eager")], **double)
    assert counters["stats"]["unique_graphs"] >= 2  # an encoder and a decoder
    written = train(case, tmp_path, **double)
    for name in written["rows"][0].keys() - {"lr"}:
        assert largest_error(compiled, written, name) < 1e-10, name
    assert compiled["model"].state_dict().keys() == written["model"].state_dict().keys()
    assert all(n._compiled_call_impl is None for n in compiled["model"].modules())


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("case", "accumulate"),
    [
        ("VariationalAutoEncoder", 1),
        ("VariationalAutoEncoder", 2),
        ("convolutions", 1),
        ("Contractive", 1),
    ],
)
def test_graphs_of_networks_train_as_they_are_written(
    case: str, accumulate: int, tmp_path: Path, monkeypatch
) -> None:
    torch._dynamo.reset()
    # Otherwise convolutions round to 10 bits, differently in the two.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    gpu = {"accelerator": "gpu", "devices": 1, "accumulate_grad_batches": accumulate}
    graphs = train(case, tmp_path, callbacks=[Compilation(mode="reduce-overhead")], **gpu)
    written = train(case, tmp_path, **gpu)
    for name in written["rows"][0].keys() - {"lr"}:
        assert largest_error(graphs, written, name) < 1e-4, name


def test_no_penalty_sees_a_compiled_network(tmp_path: Path, monkeypatch) -> None:
    calls = Calls()
    make = partial(cases.small, cases.PLAIN, regularizers={"calls": calls})
    monkeypatch.setitem(cases.CASES, "calls", make)
    seen = []
    step = AutoEncoder.training_step

    def noting(self: nn.Module, *args: Any) -> Tensor:
        seen.append(self.encoder._compiled_call_impl is not None)
        return step(self, *args)

    monkeypatch.setattr(AutoEncoder, "training_step", noting)
    train("calls", tmp_path, callbacks=[Compilation("aot_eager")])
    assert all(seen)
    assert calls.compiled == {False}


def test_a_sharded_model_is_not_compiled(tmp_path: Path) -> None:
    class Place:
        strategy = FullySharded()

    with pytest.raises(UsageError, match="a sharded model is not compiled"):
        Compilation().setup(Place, cases.vae(), "fit")


def test_a_strategy_that_would_split_layers_is_answered_with_the_right_one() -> None:
    said = r"^trainer.strategy is ModelParallelStrategy: to shard a model, use --config fsdp\.$"
    with pytest.raises(UsageError, match=said):
        shard(cases.vae(), ModelParallelStrategy())


@pytest.mark.parametrize(("given", "mode"), [("true", None), ("reduce-overhead",) * 2])
def test_compile_is_an_option_that_a_run_keeps(
    given: str, mode: str | None, tmp_path: Path, monkeypatch, capsys
) -> None:
    modes = []

    def eagerly(mode: Any) -> Compilation:
        modes.append(mode)
        return Compilation("aot_eager")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fit_command, "Compilation", eagerly)
    Path("mine.yaml").write_text(f"compile: {given}\n")
    short = ["--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "2"]
    configs = ["--config", "vae", "--config", "digits", "--config", "mine.yaml"]
    torch._dynamo.reset()
    counters.clear()
    assert cli.main(["fit", *configs, *short, "--run", "a", "--trainer.max_epochs", "1"]) == 0
    assert counters["stats"]["unique_graphs"] >= 2
    assert f"compile: {given}\n" in Path("a/config.yaml").read_text()
    assert cli.main(["fit", "--run", "a", "--resume", "--trainer.max_epochs", "2"]) == 0
    assert capsys.readouterr().out.count("compiling encoder and decoder") == 2
    assert modes == [mode, mode]
    assert cli.main(["summary", "a"]) == 0
