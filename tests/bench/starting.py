"""Start-up, in CPU seconds of new processes."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .growing import run
from .measure import Case, Goal, alternate
from .product import run_apart

FRONT, ANSWER, FIT = 0.3, 1.0, 1.3  # the goals


def children() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def starting(*arguments: str, fails: bool = False) -> Callable[[], float]:
    """A cost: the CPU seconds that Python takes with these arguments."""

    def cost() -> float:
        start = children()
        run_apart(list(arguments), {}, may_fail=fails)
        return children() - start

    return cost


def one_epoch(trained: dict[float, float]) -> float:
    """CPU seconds of `fit` of one epoch of digits; its training's are noted."""
    start = children()
    with tempfile.TemporaryDirectory() as folder:
        (training,), _ = run(Path(folder), "vae", "digits", trainer={"max_epochs": 1})
    whole = children() - start
    trained[whole] = training
    return whole


def startup() -> Goal:
    """The command line's front against importing torch; its answers, and one epoch, Lightning."""
    own, lightning = ("-m", "ae_lightning"), starting("-c", "import lightning.pytorch")
    fit, trained = (*own, "fit", "--config", "vae", "--config", "digits"), dict[float, float]()
    front = {
        "ae-lightning": starting(*own),
        "--help": starting(*own, "--help"),
        "configs": starting(*own, "configs"),
        "an unknown command": starting(*own, "fitt", fails=True),
    }
    answers = {
        "a wrong option of fit": starting(*fit, "--trainer.max_epoch", "3", fails=True),
        "fit --help": starting(*own, "fit", "--help"),
    }
    fitting = {"fit": partial(one_epoch, trained)}
    torch = starting("-c", "import torch")
    costs = {**front, **answers, **fitting, "torch": torch, "lightning": lightning}
    rounds = alternate(costs, warm=False)
    cases = [Case(n, rounds.ratios(n, "torch"), FRONT, True, rounds.foreign) for n in front]
    for name in answers:
        ratios = rounds.ratios(name, "lightning")
        cases.append(Case(name, ratios, ANSWER, True, rounds.foreign))
    pairs = zip(rounds.costs["fit"], rounds.costs["lightning"], strict=True)
    ratios = [whole / (imported + trained[whole]) for whole, imported in pairs]
    cases.append(Case("fit of one epoch of digits", ratios, FIT, True, rounds.foreign))
    return Goal("startup", "start-up / an import", cases)
