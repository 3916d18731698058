"""What a checkpoint holds, and of what type: the one place that says so.

It is what a Trainer of Lightning's writes, what this package adds to it, and plain values and
tensors wherever neither says more. `checkpoint_fitting` compares it with a model and a training.
"""

import math
from typing import Annotated, Any, Final, NotRequired

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, InstanceOf
from torch import Tensor
from typing_extensions import TypedDict

from ae_lightning.core.errors import printable
from ae_lightning.core.untrusted import conform
from ae_lightning.training.checkpoint_values import check_values

FORMAT: Final = 1  # of the checkpoints that this version saves and loads

# Where a checkpoint keeps its format, the records of model and data, its run's config, and what
# resuming needs beside Lightning's own.
FORMAT_KEY: Final = "ae_lightning_format"
MODEL: Final = "hyper_parameters"
PARTS: Final = "model_parts"  # the same model as a `Model`, which needs no Lightning
DATA: Final = "datamodule_hyper_parameters"
RUN_CONFIG: Final = "config"
RESUMING: Final = "resuming"

MOST_VALUES: Final = 10**6  # in a whole checkpoint, and
MOST_RECORDED: Final = 10**4  # in a record of a model or of data

# ---------------------------------------------------------------------------- Lightning's loops

Count = Annotated[int, Field(ge=0, le=2**53)]


class Ready(TypedDict):
    ready: Count
    completed: Count


class Started(Ready):
    started: Count


class Processed(Started):
    processed: Count


class Steps(TypedDict):
    total: Ready
    current: Ready


class Resets(TypedDict):
    total: Started
    current: Started


class Epochs(TypedDict):
    total: Processed
    current: Processed


class Batches(Epochs):
    is_last_batch: bool


class OptimizerProgress(TypedDict):
    step: Steps
    zero_grad: Resets


class Combined(TypedDict):
    combined_loader: NotRequired[Annotated[list[dict[str, Any]], Field(max_length=1)]]


class Stepped(TypedDict):
    _batches_that_stepped: Count


class Optimization(TypedDict):
    optimizer: OptimizerProgress


Nothing = Annotated[dict[str, Any], Field(max_length=0)]
FitLoop = TypedDict(
    "FitLoop",
    {
        "state_dict": Combined,
        "epoch_loop.state_dict": Stepped,
        "epoch_loop.batch_progress": Batches,
        "epoch_loop.scheduler_progress": Steps,
        "epoch_loop.automatic_optimization.state_dict": Nothing,
        "epoch_loop.automatic_optimization.optim_progress": Optimization,
        "epoch_loop.manual_optimization.state_dict": Nothing,
        "epoch_loop.manual_optimization.optim_step_progress": Steps,
        "epoch_loop.val_loop.state_dict": Nothing,
        "epoch_loop.val_loop.batch_progress": Batches,
        "epoch_progress": Epochs,
    },
)


class EvaluationLoop(TypedDict):
    state_dict: Nothing
    batch_progress: Batches


class PredictLoop(TypedDict):
    state_dict: Nothing
    batch_progress: Epochs


class Loops(TypedDict):
    fit_loop: FitLoop
    validate_loop: EvaluationLoop
    test_loop: EvaluationLoop
    predict_loop: PredictLoop


# ----------------------------------------------------------------------------------- our own


Figures = dict[str, float]


class Kept(TypedDict):
    monitor: str
    best: Figures
    latest: Figures


def _monitored(state: Kept) -> Kept:
    for name, figures in {"best": state["best"], "latest": state["latest"]}.items():
        finite = ["step", "epoch", state["monitor"]][: 3 if name == "best" else 2]
        for key in finite if figures else ():
            if not math.isfinite(figures.get(key, math.nan)):
                raise ValueError(f"{name} has no finite {printable(key, 80)}")
    return state


class Callbacks(TypedDict):
    Checkpoints: NotRequired[Annotated[Kept, AfterValidator(_monitored)]]


def _number(value: Any) -> Any:
    single = isinstance(value, Tensor) and value.numel() == 1
    if not single and type(value) not in (bool, int, float):
        raise ValueError("expected a number")
    return value


class Resuming(TypedDict):
    states: NotRequired[list[str]]  # the names of those that the run has saved
    metrics_rows: Count
    should_stop: bool
    stoppers: list[str]
    given: NotRequired[dict[str, Annotated[list[Count], Field(min_length=2, max_length=2)]]]
    gradients: dict[str, InstanceOf[Tensor]]
    logged: dict[str, dict[str, Annotated[Any, AfterValidator(_number)]]]
    best_apart: NotRequired[bool]
    weights: NotRequired[dict[str, InstanceOf[Tensor]]]  # if others were evaluated


class Arguments(TypedDict):
    shape: Annotated[list[Annotated[int, Field(ge=1, le=2**53)]], Field(min_length=1)]
    latent: Annotated[int, Field(ge=1, le=2**53)]


class ModelRecord(TypedDict):
    class_path: str
    init_args: Arguments


class DataRecord(TypedDict):
    class_path: str
    init_args: dict[str, Any]


class Config(TypedDict, total=False):
    seed_everything: int
    trainer: dict[str, Any]
    checkpoints: dict[str, Any]
    compile: bool | str
    model: DataRecord
    data: DataRecord


# --------------------------------------------------------------------------------- the whole


class Group(TypedDict):
    params: list[Count]


class OptimizerState(TypedDict):
    state: dict[int, dict[str, Any]]
    param_groups: Annotated[list[Group], Field(min_length=1)]


def _version(text: str) -> str:
    try:
        known = Version(text) >= Version("2.0")  # what is older, Lightning rewrites
    except InvalidVersion:
        known = False
    if not known:
        raise ValueError("expected a version of Lightning's, from 2.0 on")
    return text


def _clock(numbers: list[int]) -> list[int]:
    if len(numbers) != 4 or min(numbers[:3]) < 0:
        raise ValueError("expected four whole numbers, of which the last may be below zero")
    return numbers


Lag = Annotated[int, Field(ge=-(2**53), le=2**53)]
ClockNumbers = Annotated[list[Lag], AfterValidator(_clock)]
Checkpoint = TypedDict(
    "Checkpoint",
    {
        FORMAT_KEY: int,  # type: ignore[misc]
        "pytorch-lightning_version": Annotated[str, AfterValidator(_version)],
        "epoch": Count,
        "global_step": Count,
        "state_dict": dict[str, InstanceOf[Tensor]],
        "loops": Loops,
        MODEL: ModelRecord,
        PARTS: NotRequired[ModelRecord],  # if the class is one of ours
        "clock": ClockNumbers,
        "steps_per_epoch": Count,
        # What a checkpoint of weights only lacks, and a training cannot be resumed without.
        "callbacks": NotRequired[Callbacks],
        "optimizer_states": NotRequired[list[OptimizerState]],
        "lr_schedulers": NotRequired[list[dict[str, Any]]],
        # What only a run writes.
        DATA: NotRequired[dict[str, Any]],  # a `DataRecord`, if the data module is one of ours
        RUN_CONFIG: NotRequired[Config],
        RESUMING: NotRequired[Resuming],
    },
)


def check_structure(checkpoint: dict[str, Any], source: object) -> None:
    """Refuse what is not a checkpoint of an autoencoder, by what it holds and of what type.

    Raises:
        UsageError: naming the first place that is wrong, and what was expected there.
    """
    check_values(checkpoint, source, MOST_VALUES)
    conform(Checkpoint, checkpoint, source)
    for key in (MODEL, PARTS, DATA):
        check_values(checkpoint.get(key), f"{source}: {key}", MOST_RECORDED)
    modules = getattr(checkpoint["state_dict"], "_metadata", {})
    conform(dict[str, dict[str, int]], dict(modules), f"{source}: state_dict")
