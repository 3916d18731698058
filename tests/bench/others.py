"""Other libraries, each trained as fast as it lets one, beside ours: `make peers`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from .data import mnist_root
from .measure import Case, Goal, alternate
from .product import CONV_128, MLP_128, TESTS, fit_apart
from .training import elsewhere

ENVIRONMENTS = TESTS.parent / ".peers"
TITLE = "fit as shipped / another library"
# Under squared error of fixed weight, since none of them learns σ.
SETTINGS = replace(MLP_128, steps=200, sigma=1.0), replace(CONV_128, steps=80, sigma=1.0)
FUSED, PLAIN = 1.2, 1.6  # the goals, where Adam is fused and where it is as the library sets it


def version(environment: Path) -> str:
    """The version of the library in an environment of its own."""
    site = next(environment.glob("lib/python*/site-packages"))
    return next(d.version for d in distributions(path=[str(site)]) if d.name == environment.name)


def peers() -> Goal:
    """`fit` as shipped against other libraries' trainers, each in a process of its own.

    The same networks, batches of the same size, squared error and KL, Adam at the same rate. Adam
    is fused on all sides; pythae is also measured as it comes.
    """
    names = [e.name for e in sorted(ENVIRONMENTS.glob("*")) if (e / "installed").exists()]
    if not names:
        return Goal("peers", TITLE, skipped="`make peers` installs them")
    cases = []
    with mnist_root() as root:
        for setting in SETTINGS:
            costs = {"fit": partial(fit_apart, setting, root, {})}
            for name in names:
                python = str(ENVIRONMENTS / name / "bin" / "python")
                apart = partial(elsewhere, f"peers.{name}", setting, root, python=python)
                label = f"{setting.name}, {name} {version(ENVIRONMENTS / name)}"
                costs[f"{label}, fused Adam"] = apart
                if name == "pythae":
                    costs[label] = partial(apart, "plain")
            rounds = alternate(costs, warm=False)
            for name in [name for name in costs if name != "fit"]:
                goal = FUSED if name.endswith("fused Adam") else PLAIN
                ratios = rounds.ratios(name, "fit")
                cases.append(Case(name, ratios, goal, foreign=rounds.foreign))
    return Goal("peers", TITLE, cases)
