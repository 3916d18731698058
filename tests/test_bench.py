"""The bench measures what it says, on the code as it is: each of its parts is tried once."""

from collections.abc import Callable
from types import ModuleType

import pytest

from bench import evaluating, parts
from bench.measure import Goal, Rounds


def once(costs: dict[str, Callable[[], float]], warm: bool = True) -> Rounds:
    """Each cost, a single time."""
    return Rounds({name: [cost()] for name, cost in costs.items()}, foreign=0.0)


def a_call(call: Callable[[], object], calls: int) -> Callable[[], float]:
    """A cost of 1, which calls once."""

    def cost() -> float:
        call()
        return 1.0

    return cost


@pytest.mark.parametrize(
    ("module", "goal"),
    [
        (parts, parts.jacobian),
        (parts, parts.corruption),
        (parts, parts.evidence),
        (evaluating, evaluating.validation),
    ],
    ids=lambda value: value.__name__,
)
def test_a_goal_of_the_bench_runs_all_its_cases(
    module: ModuleType, goal: Callable[[], Goal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "alternate", once)
    monkeypatch.setattr(module, "seconds_per_call", a_call)
    monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
    found = goal()
    assert found.cases
    assert all(case.ratios == [1.0] for case in found.cases)
