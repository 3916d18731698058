"""What a plug-in takes is recorded as plain values, and comes back as what it was."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ae_lightning import AutoEncoder, UndercompleteAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.core.parts import rebuild
from ae_lightning.regularizers import Rate, Regularizer

LAB = """
from enum import Enum, IntEnum
from pathlib import Path
from ae_lightning import Regularizer

class Mode(Enum):
    SOFT = "soft"
    HARD = "hard"

class Level(IntEnum):
    LOW = 1
    HIGH = 2

class Plug(Regularizer):
    def __init__(
        self, weight: float = 1.0, scale: float = None, bare=None, pair: tuple[int, int] = (1, 2),
        loose=(3, 4), kinds: set = frozenset({1, 2}), mode: Mode = Mode.SOFT, level: Level = None,
        path: Path = Path("a"), inner: "Regularizer" = None, table: dict = None, words: list = None,
    ) -> None:
        super().__init__(weight)
        assert scale is None and bare is None and inner is None and table is None and words is None
        assert (pair, tuple(loose), set(kinds)) == ((1, 2), (3, 4), {1, 2})
        assert isinstance(mode, Mode) and isinstance(path, Path), (mode, path)
        self.mode, self.level = mode, level

    def forward(self, model, out):
        return out.q.mean.abs().sum(1) * (2 if self.mode is Mode.HARD else 1)
"""


class Kind(enum.Enum):
    A = 1
    B = 2


class Typed(Regularizer):
    def __init__(
        self,
        kind: Kind = Kind.A,
        other: Kind | None = None,
        place: Path | None = None,
        sizes: tuple[int, ...] = (),
        names: set[str] | None = None,
        table: Any = None,
    ) -> None:
        super().__init__()
        self.given = (kind, other, place, sizes, names, table)

    def forward(self, model: AutoEncoder, out: Any) -> torch.Tensor:
        return out.z.sum()


@pytest.mark.parametrize(
    "given",
    [
        (Kind.B, Kind.A, Path("x/y"), (1, 2), {"a", "b"}, None),
        (Kind.A, None, None, (), None, {"a": [1, 2.5]}),
    ],
)
def test_a_rebuilt_part_is_given_what_it_was_made_with(given: tuple[Any, ...]) -> None:
    assert rebuild(Typed(*given).record).given == given


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(2), Kind.B])
def test_what_is_recorded_is_plain(number: Any) -> None:
    recorded = Typed(table=number).record["init_args"]["table"]
    assert type(recorded) in (int, float, str)


def test_a_weight_of_numpy_survives_a_checkpoint(tmp_path: Path) -> None:
    torch.save(Rate(np.float64(2)).record, tmp_path / "record")
    assert torch.load(tmp_path / "record", weights_only=True)["init_args"]["weight"] == 2.0


@pytest.mark.parametrize("changed", [[], ["--model.regularizers.p.mode=HARD"]])
def test_a_plug_ins_defaults_are_accepted_wherever_they_were_recorded(
    changed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    module = f"defaults_lab_{len(changed)}"
    Path(f"{module}.py").write_text(LAB)
    plug = ["--model.regularizers.p", f"{module}.Plug", *changed, "--trainer.max_epochs=1"]
    small = ["--data.batch_size=256", "--trainer.logger=false", "--run", "a"]
    assert main(["fit", "--config", "undercomplete", "--config", "digits", *plug, *small]) == 0
    assert main(["validate", "--run", "a"]) == 0
    assert main(["fit", "--run", "a", "--resume", "--trainer.max_epochs", "2"]) == 0
    assert main(["fit", "--config", "a/config.yaml", "--run", "b", "--trainer.max_steps=1"]) == 0
    model = UndercompleteAutoEncoder.load_from_checkpoint("a/checkpoints/best.ckpt")
    assert model.regularizers.p.mode.name == ("HARD" if changed else "SOFT")
