"""What is recorded is enough to rebuild, and holds plain values only."""

import copy
import json
import sys
import types
from functools import partial

import pytest
import torch

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.parts import locate, rebuild, to_plain
from ae_lightning.datamodules import Manifold
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP, TopK
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers import Rate
from ae_lightning.schedules import Linear


def model(**others: object) -> AutoEncoder:
    return AutoEncoder(
        (1, 4, 4), 5, MLP([8]), Dirac(TopK(2)), MLP([8], dropout=0.5), Gaussian(), **others
    )


def test_a_record_is_json_and_rebuilds_an_equal_model() -> None:
    torch.manual_seed(1)
    made = model(optimizer=partial(torch.optim.SGD, lr=0.1), lr_schedule=Linear(1, 0, steps=9))
    torch.manual_seed(1)
    again = rebuild(json.loads(json.dumps(made.record)))
    assert again.record == made.record
    for a, b in zip(made.state_dict().values(), again.state_dict().values(), strict=True):
        assert a.equal(b)


class Handing(MLP):
    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]


def test_a_part_that_hands_its_arguments_on_is_recorded_by_their_names() -> None:
    assert Handing(widths=[8]).record["init_args"] == {"widths": [8]}
    assert rebuild(Handing(widths=[8]).record).widths == Handing(widths=[8]).widths
    with pytest.raises(UsageError, match=r"Handing is given \[8\] as one of \*arguments"):
        Handing([8])


def test_defaults_are_recorded_too() -> None:
    assert MLP([8]).record["init_args"]["activation"] == "SiLU"


def test_jsonargparse_partials_are_recorded_as_the_class_they_make() -> None:
    made = partial(lambda make, cls, **k: make(cls, **k), print, torch.optim.SGD, lr=0.1)
    assert to_plain(made) == {"class_path": "torch.optim.sgd.SGD", "init_args": {"lr": 0.1}}


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(UsageError, match=r"AutoEncoder\.optimizer is a function"):
        model(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))


FOREIGN = "which is not of this package"
NO_PART = "is not a part of an autoencoder"
NO_PATH = "expected a class's path"
NAMES: dict[object, str] = {
    **dict.fromkeys(("subprocess.Popen", "os.system", "torch.nn.Linear", "this.that"), FOREIGN),
    **dict.fromkeys(
        ("ae_lightning.nn.mlp.torch.nn.Linear", "torch.optim.adam.torch.Size"), FOREIGN
    ),
    **dict.fromkeys(("ae_lightning.core.errors.UsageError", "ae_lightning.cli.main.main"), NO_PART),
    "ae_lightning.nn.torch.hub.load": "there is no torch",
    **dict.fromkeys(("os", "", ".", "a..b", "os.system\0", "ae_lightning.__main__.main"), NO_PATH),
    **dict.fromkeys((3, None, 1.5, ("a",)), NO_PATH),
}


@pytest.mark.parametrize("path", NAMES, ids=str)
def test_a_record_cannot_name_what_is_no_part(path: object, monkeypatch) -> None:
    monkeypatch.setattr("ae_lightning.core.trust._trusted", set())  # as in a new process
    with pytest.raises(UsageError, match=NAMES[path]):
        rebuild({"class_path": path, "init_args": {}})


def test_a_part_that_the_program_has_defined_needs_no_trust() -> None:
    class Loud(MLP):
        pass

    globals()["Loud"] = Loud
    Loud.__qualname__ = "Loud"
    sys.modules.setdefault(__name__, types.ModuleType(__name__)).Loud = Loud  # type: ignore[attr-defined]
    assert isinstance(rebuild(Loud([8]).record), Loud)


def test_a_wrong_path_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean ConvEncoder"):
        locate("ae_lightning.nn.ConvEncodr")
    with pytest.raises(UsageError, match="no module"):
        locate("no_such_package.Thing")
    assert nearest("x", ["b", "a"]) == "expected one of a, b."


def test_a_part_serves_one_model_only() -> None:
    encoder = MLP([8])
    AutoEncoder((3,), 2, encoder, Dirac(), MLP(), Gaussian())
    with pytest.raises(UsageError, match="belongs to another model"):
        AutoEncoder((3,), 2, encoder, Dirac(), MLP(), Gaussian())


def test_a_model_can_be_copied() -> None:
    made = model()
    assert copy.deepcopy(made).record == made.record


@pytest.mark.parametrize("value", [{}, {"a": 1}, "Ring", 3, True, [1], MLP([3]).record])
def test_nothing_else_takes_the_place_of_a_part(value: object) -> None:
    """Or data would be made of it, and fail when they are read."""
    record = Manifold().record | {"init_args": {"toy": value}}
    with pytest.raises(UsageError, match=r"Manifold\.toy is .*: expected a Toy, by its class_path"):
        rebuild(record)


def test_a_number_may_stand_for_a_schedule() -> None:
    for weight in (3, 0.5, Linear(0.0, 1.0, 10)):
        assert rebuild(Rate(weight).record).record == Rate(weight).record
    assert rebuild(Manifold().record).record == Manifold().record
