"""Schedules, as penalty weights and learning rates follow them."""

import math

import pytest

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.schedules import Clock, Cosine, Cyclic, Linear, OneCycle, Schedule

SCHEDULES: list[type[Schedule]] = [Linear, Cosine, Cyclic, OneCycle]


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_span_of_steps_of_epochs_and_of_the_whole_training_are_the_same_curve(kind) -> None:
    for part in range(9):
        by_step = kind(0.5, 2.0, steps=8)(Clock(part, 0, 1000))
        by_epoch = kind(0.5, 2.0, epochs=8)(Clock(777, part, 1000))
        whole = kind(0.5, 2.0)(Clock(part, 0, 8))
        assert by_step == by_epoch == whole == kind(0.5, 2.0).value(part / 8)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_over_the_whole_training_the_lead_of_a_resumed_run_counts_as_steps(kind) -> None:
    assert kind(0.5, 2.0)(Clock(3, 0, 8, lead=2)) == kind(0.5, 2.0)(Clock(5, 0, 8))
    assert kind(0.5, 2.0, steps=8)(Clock(3, lead=2)) == kind(0.5, 2.0, steps=8)(Clock(3))


@pytest.mark.parametrize("kind", SCHEDULES)
def test_begins_at_start_and_stays_at_end(kind) -> None:
    schedule = kind(0.25, 3.0, steps=7)
    assert schedule(Clock(0)) == 0.25
    assert schedule(Clock(7)) == schedule(Clock(10**6)) == 3.0


def test_linear_has_equal_steps() -> None:
    values = [Linear(2, -1, steps=6)(Clock(s)) for s in range(7)]
    assert values == [2.0, 1.5, 1.0, 0.5, 0.0, -0.5, -1.0]


def test_cosine_is_half_a_period() -> None:
    for s in range(11):
        value = Cosine(0, 2, steps=10)(Clock(s))
        assert value == pytest.approx(1 - math.cos(math.pi * s / 10), abs=1e-15)


@pytest.mark.parametrize("cycles", [1, 3, 7, 10])
def test_cyclic_starts_every_cycle_anew(cycles) -> None:
    schedule, length = Cyclic(1, 2, steps=30 * cycles, cycles=cycles, rise=0.5), 30
    for s in range(length * cycles):
        rise = min(1.0, s % length / (length / 2))
        assert schedule(Clock(s)) == pytest.approx(1 + rise, abs=1e-6)


def test_one_cycle_rises_to_one_and_falls() -> None:
    values = [OneCycle(0.04, 0.01, steps=100, rise=0.3)(Clock(s)) for s in range(101)]
    assert values[0] == pytest.approx(0.04, abs=1e-15)
    assert values[30] == max(values) == 1
    assert values[100] == pytest.approx(0.01, abs=1e-15)
    assert values[:31] == sorted(values[:31])
    assert values[30:] == sorted(values[30:], reverse=True)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_before_training_the_value_is_the_start(kind) -> None:
    assert kind(0.5, 2.0)(Clock()) == 0.5


@pytest.mark.parametrize(
    "schedule",
    [Linear(0, 1), Cosine(1, 0, epochs=3), Cyclic(0, 2, cycles=2, rise=1.0), OneCycle(rise=0.1)],
)
def test_is_rebuilt_from_plain_values(schedule) -> None:
    again = rebuild(schedule.record)
    clocks = [Clock(s, s // 2, 10) for s in range(12)]
    assert [again(c) for c in clocks] == [schedule(c) for c in clocks]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Linear(0, 1, steps=5, epochs=5), "not both"),
        (lambda: Linear(0, 1, steps=0), "steps is 0"),
        (lambda: Cosine(0, 1, epochs=-2), "epochs is -2"),
        (lambda: Linear(0, math.nan), "nan: expected finite"),
        (lambda: Linear(-math.inf, 1), "-inf"),
        (lambda: Cyclic(cycles=0), "cycles is 0"),
        (lambda: Cyclic(rise=0.0), r"rise 0\.0"),
        (lambda: OneCycle(rise=1.0), r"rise is 1\.0"),
    ],
)
def test_refuses_what_is_no_schedule(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()
