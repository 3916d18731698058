"""What is exported answers as the model does, for batches of any size; what cannot go says why."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from ae_lightning import UsageError, likelihoods, load
from ae_lightning.cli.main import main
from ae_lightning.core.parts import rebuild
from ae_lightning.inference import TrainedModel, export
from ae_lightning.inference.exported_parts import EXPORTABLE, Traced, require_equal, write_part
from ae_lightning.likelihoods import Likelihood
from ae_lightning.model import Model
from ae_lightning.nn import MLP
from ae_lightning.nn.network import Network, Shape
from ae_lightning.posteriors import Dirac
from helpers.cases import PARTS, SYSTEMS, convolutional

LIKELIHOODS = {
    name: PARTS[name]
    for name, kind in vars(likelihoods).items()
    if isinstance(kind, type) and issubclass(kind, Likelihood) and name in PARTS
}
# All systems, all likelihoods, and whatever else computes in a way of its own.
CASES = [
    *((name, ["encoder", "decoder"]) for name in SYSTEMS),
    *((name, ["decoder"]) for name in LIKELIHOODS),
    *((name, ["encoder"]) for name in ("TopK", "UnitVariance", "dropout")),
    *((name, ["reconstruct"]) for name in ("convolutions", "residual", "residual, in place")),
]


def warm(model: Any) -> Model:
    """A model as after training: its weights and statistics are not those that it starts with."""
    model.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for x in model.state_dict().values():
        if x.is_floating_point():
            x += 0.1 * torch.rand(x.shape, generator=generator)
    return model  # type: ignore[no-any-return]


def answers(file: Path, **inputs: Tensor) -> dict[str, Tensor]:
    session = onnxruntime.InferenceSession(str(file))
    names = [output.name for output in session.get_outputs()]
    given = {name: value.numpy() for name, value in inputs.items()}
    return dict(zip(names, map(torch.from_numpy, session.run(None, given)), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "parts"), CASES)
def test_onnx_answers_as_the_model_does(name: str, parts: list[str], tmp_path: Path) -> None:
    model = warm((SYSTEMS | PARTS)[name]())
    files = {part: write_part(model, part, "onnx", tmp_path) for part in parts}
    for n in (1, 3, 7):
        x, code = torch.rand(n, *model.shape), torch.randn(n, model.latent)
        encoded = {"code": model.code(x), "spread": model.encode(x).stddev}
        if not model.posterior.stochastic:
            del encoded["spread"]
        for part, given, wanted in (
            ("encoder", {"x": x}, encoded),
            ("decoder", {"code": code}, {"mean": model.decode(code).mean}),
            ("reconstruct", {"x": x}, {"reconstruction": model.reconstruct(x)}),
        ):
            if part in files:
                found = answers(files[part], **given)
                torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_every_likelihood_is_among_them() -> None:
    kinds = [k for k in vars(likelihoods).values() if isinstance(k, type)]
    names = {k.__name__ for k in kinds if issubclass(k, Likelihood) and k is not Likelihood}
    assert names - {"Gaussian"} == set(LIKELIHOODS)  # which the systems have


@pytest.fixture(scope="module")
def small(digits: TrainedModel) -> TrainedModel:
    """A model with convolutions, and the training of another."""
    model = rebuild(warm(convolutional()).record)
    return TrainedModel(model.eval(), digits.file, None, {"val/loss": 3.0}, 7, ["cat", "dog"])


def test_programs_of_torch_answer_likewise_and_hold_no_other_weights(
    small: TrainedModel, tmp_path: Path
) -> None:
    folder, model = export(small, tmp_path / "out", to="torch"), small.model
    x, code = torch.rand(5, *model.shape), torch.randn(5, model.latent)
    with torch.no_grad():
        wanted = {
            "encoder": (x, (model.code(x), model.encode(x).stddev)),
            "decoder": (code, (model.decode(code).mean,)),
            "reconstruct": (x, (model.reconstruct(x),)),
        }
    for name, (given, outputs) in wanted.items():
        program = torch.export.load(folder / f"{name}.pt2")
        torch.testing.assert_close(program.module()(given), outputs, atol=1e-5, rtol=1e-5)
        weights = [k.removeprefix("model.").partition(".")[0] for k in program.state_dict]
        assert {"encoder", "decoder"} & {*weights} == (
            {name} if name in ("encoder", "decoder") else {"encoder", "decoder"}
        )


def test_safetensors_load_as_the_same_model_to_the_bit(
    run: Path, digits: TrainedModel, tmp_path: Path
) -> None:
    assert main(["export", str(run), "--to", "safetensors", "--out", str(tmp_path / "out")]) == 0
    again, x = load(tmp_path / "out"), torch.rand(3, 1, 8, 8)
    assert (again.reconstruct(x) == digits.reconstruct(x)).all()
    assert (again.spread(x) == digits.spread(x)).all()
    assert again.model.record == digits.model.record
    assert again.model.clock == digits.model.clock
    for name in ("figures", "step", "data", "classes", "config", "shape"):
        assert getattr(again, name) == getattr(digits, name), name
    assert again.run == tmp_path / "out"


def test_a_command_takes_such_a_folder(
    digits: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export(digits, "model", to="safetensors")
    assert main(["encode", "model", "--out", "codes.npz", "--limit", "9"]) == 0
    with np.load("codes.npz") as codes:
        assert codes["code"].shape == (9, 16)
    assert main(["summary", "model"]) == 2  # it is no run


def test_the_card_says_what_a_user_must_know(small: TrainedModel, tmp_path: Path) -> None:
    folder = export(small, tmp_path / "out", parts=["decoder"])
    assert {f.name for f in folder.iterdir()} == {"README.md", "decoder.onnx"}
    card = (folder / "README.md").read_text()
    assert f"sha256 `{sha256((folder / 'decoder.onnx').read_bytes()).hexdigest()}`" in card
    assert f"sha256 `{sha256(small.file.read_bytes()).hexdigest()}`" in card
    for said in (
        *(
            "(batch, 1, 4, 4)",
            "| size | 4 × 4 pixels",
            "| channels | 1 |",
            "| classes | cat, dog |",
        ),
        *("[0, 1]: bytes divided by 255", "| code | 3 values |", "| encoder | ConvEncoder |"),
        *("code → mean", "| val/loss | 3 |", f"| torch | {torch.__version__.partition('+')[0]}"),
        *("7 steps", "channels: [2, 3]"),
    ):
        assert said in card, said


def test_nothing_tells_where_the_home_directory_lies(
    digits: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    data = {
        "class_path": "ae_lightning.datamodules.NumpyFile",
        "init_args": {"path": "/home/ada/x"},
    }
    trained = TrainedModel(digits.model, digits.file, data, {}, 1, [], {"data": data})
    folder = export(trained, tmp_path / "out", to="safetensors")
    assert all(b"/home/ada" not in file.read_bytes() for file in folder.iterdir())
    assert json.loads((folder / "model.json").read_text())["config"]["data"]["init_args"] == {
        "path": "~/x"
    }
    known = load(folder).data
    assert known
    assert rebuild(known).path == Path("/home/ada/x")


class Changeable(Network):
    """A network that computes something else whenever it looks at its input's values."""

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        self.outputs = tuple(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3].reshape(-1, *self.outputs) * (1 if x.sum() > 0 else -1)


class OneSize(Changeable):
    """A network for batches of one size."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3].reshape(2, *self.outputs)


class Drawing(Changeable):
    """A network whose output is drawn at random."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3].reshape(-1, *self.outputs) + torch.rand(())


@pytest.mark.parametrize("kind", [Changeable, OneSize, Drawing])
@pytest.mark.parametrize("to", ["onnx", "torch"])
def test_a_part_that_cannot_go_is_refused_in_one_sentence(
    kind: type[Network], to: str, digits: TrainedModel, tmp_path: Path
) -> None:
    model = Model((1, 4, 4), 3, kind(), Dirac(), MLP([]), likelihoods.Gaussian())
    trained = TrainedModel(model.eval().requires_grad_(False), digits.file, None, {}, 1)
    with pytest.raises(UsageError) as error:
        export(trained, tmp_path / "out", to=to)
    assert str(error.value).startswith(f"the encoder cannot go to {to}: ")
    assert len(str(error.value)) < 320
    assert str(error.value).isprintable()
    assert not list(tmp_path.iterdir())
    export(trained, tmp_path / "out", to="torch", parts=["decoder"])


def test_outputs_that_differ_are_refused() -> None:
    x = torch.full((2, 3), 100.0)
    require_equal([x + 5e-4], (x,), "they")  # 1e-5 of the largest value
    for wrong in (x + 2e-3, x[:1], x * torch.nan):
        with pytest.raises(UsageError, match="they differ from the model's by"):
            require_equal([wrong], (x,), "they")


def test_a_traced_part_leaves_the_model_as_it_is(small: TrainedModel) -> None:
    names = [name for name, _ in small.model.named_modules()]
    Traced(small.model, EXPORTABLE["decoder"])
    assert [name for name, _ in small.model.named_modules()] == names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "onxx"], "to is 'onxx': did you mean onnx?"),
        (["--parts", "decode"], "parts is 'decode': did you mean decoder?"),
        (["--parts", ","], "parts are none: expected some of encoder, decoder, reconstruct."),
        (["--to", "safetensors", "--parts", "encoder"], "safetensors, which hold the whole model"),
    ],
)
def test_wrong_options_are_told_before_the_model_is_read(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "nowhere", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_nothing_is_overwritten_unless_it_is_said(digits: TrainedModel, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("mine")
    with pytest.raises(UsageError, match="exists: name another by --out, or add --force"):
        export(digits, tmp_path, to="safetensors")
    assert (tmp_path / "model.json").read_text() == "mine"
    export(digits, tmp_path, to="safetensors", force=True)
    assert load(tmp_path).step == digits.step


def test_a_missing_package_names_its_extra(
    digits: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UsageError, match=r"onnx needs onnx, .*: pip install 'ae-lightning\[onnx\]'"
    ):
        export(digits, tmp_path / "out")
