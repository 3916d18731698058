"""Curves of everything that was logged: the terms of the loss, and what validation reports."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isclose
from typing import Any, ClassVar

import numpy as np

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.model import Model
from ae_lightning.training.directions import Mode

from .drawing.theme import COLOURS, FAINT, INK, Axes, Figure, Room, house_style, legend, new_figure
from .l0_error import without_zeros
from .picture import PictureCallback
from .report.history import MONITOR, History, best_step

# What validation reports beside the loss and its terms, with units; in this order.
REPORTED = {
    "elbo": "ELBO (nats)",
    "rate": "rate (nats)",
    "active_units": "active units",
    "dead_units": "dead units",
    "l0": "L0 (active units per example)",
    "mse": "squared error (per value)",
    "ssim": "SSIM",
    "jacobian": "‖∂f/∂x‖² (exact)",
}
PANELS = 3  # in a row
NOTHING = "curves need a metrics.csv with the metrics of training, and there is none."
Points = list[tuple[int, float]]


def terms_of(history: History) -> list[str]:
    """The names of the loss and of the terms that add up to it, penalties last."""
    logged = [n.removeprefix("train/") for n in history if n.startswith("train/")]
    terms = [n for n in logged if not n.endswith("_weight")]
    first = [n for n in ("loss", "bound", "distortion") if n in terms]
    return first + sorted(set(terms) - set(first))


def weighted(points: Points, weight: Points | float) -> Points:
    """A term times its weight, at the steps at which both are known."""
    if isinstance(weight, float | int):
        return [(step, weight * value) for step, value in points]
    at = dict(weight)
    return [(step, at[step] * value) for step, value in points if step in at]


def curves(
    history: History,
    weights: Mapping[str, float] | None = None,
    figures: Iterable[str] = REPORTED,
    best: int | None = None,
) -> Figure:
    """Draw every raw and weighted term of the loss, every scheduled weight, and what is reported.

    What says the same twice is drawn once: the ELBO, where it is minus the loss.

    Args:
        history: the metrics by name: (step, value).
        weights: the penalties' constant weights by name.
        figures: which of the other figures of validation to draw, if they were logged.
        best: the step of the best validation, which a line marks.

    Raises:
        UsageError: if no training was logged.
    """
    terms, constant = terms_of(history), dict(weights or {})
    if "loss" not in terms:
        raise UsageError(NOTHING)
    if terms == ["loss", "distortion"]:  # one and the same
        terms = ["distortion"]
    scheduled = [t for t in terms if f"train/{t}_weight" in history]
    reported = [f for f in figures if f"val/{f}" in history and f not in terms]
    reported = [f for f in reported if f != "elbo" or not mirrored(history)]
    rows = -(-(len(terms) + bool(scheduled) + len(reported)) // PANELS)
    with house_style():
        figure, panels = _panels(rows)
        for term in terms:
            weight = history.get(f"train/{term}_weight", constant.get(term, 1.0))
            _show_term(next(panels), history, term, weight)
        if scheduled:
            axes = next(panels)
            for term, colour in zip(scheduled, COLOURS, strict=False):
                _show(axes, history[f"train/{term}_weight"], color=colour, label=plain(term))
            axes.set(title="weights", ylim=(0, None))
            legend(axes)
        for name in reported:
            axes, points = next(panels), history[f"val/{name}"]
            _show(axes, points, color=COLOURS[1])
            axes.set_title(REPORTED.get(name, name))
            if "units" in name:
                axes.set_ylim(0, max(1, 1.05 * max(v for _, v in points)))
        last = max(history["train/loss"][-1][0], *(history[f"val/{f}"][-1][0] for f in reported), 1)
        for axes in figure.axes:
            axes.set_xlim(0, 1.03 * last)
            axes.locator_params(nbins=4)
            if best is not None:
                axes.axvline(best, color=INK, linewidth=0.8, linestyle=":", zorder=0)
        with_weights = bool(scheduled) or any(w != 1.0 for w in constant.values())
        _add_key(figure, with_weights, best)
    return figure


def mirrored(history: History) -> bool:
    """Whether the ELBO is minus the loss, wherever both are known."""
    loss, elbo = dict(history.get("val/loss", [])), dict(history.get("val/elbo", []))
    both = loss.keys() & elbo.keys()
    return bool(both) and all(isclose(loss[s], -elbo[s], rel_tol=1e-4) for s in both)


def plain(name: str) -> str:
    """Return a name that a file holds as text, which Matplotlib would typeset as a formula."""
    return name.replace("$", r"\$")


def _panels(rows: int) -> tuple[Figure, Iterator[Axes]]:
    """A figure, and its panels, three in a row."""
    high = 1.9 * rows + 0.75
    figure = new_figure(7.6, high, room=Room(0.57, 0.12, 0.6, 0.5))
    figure.subplots_adjust(wspace=0.3, hspace=0.5)
    figure.text(0.5, 0.12 / high, "optimizer step", ha="center", fontsize=9)
    return figure, (figure.add_subplot(rows, PANELS, i + 1) for i in range(rows * PANELS))


def _show_term(axes: Axes, history: History, term: str, weight: Points | float) -> None:
    raw, val = history[f"train/{term}"], history.get(f"val/{term}", [])
    _show(axes, raw, color=COLOURS[0], linewidth=0.9)
    _show(axes, val, color=COLOURS[1])
    shown = weighted(raw, weight) if weight != 1.0 else []
    _show(axes, shown, color=FAINT, linestyle="--")
    nats = term in ("loss", "bound", "distortion", "rate")
    axes.set_title(f"{term} (nats)" if nats else plain(term))
    points = [*raw, *val, *shown]
    low, high = limits_of([v for _, v in points], [v for s, v in points if s >= 0.1 * raw[-1][0]])
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)
    first = raw[0][1]
    if not low <= first <= high:
        arrow, at = ("↑", 0.97) if first > high else ("↓", 0.03)
        where = {"transform": axes.transAxes, "va": "top" if first > high else "bottom"}
        axes.text(0.3, at, f"{arrow} from {first:.4g}", fontsize=7, color=COLOURS[0], **where)


def limits_of(values: Sequence[float], later: Sequence[float]) -> tuple[float, float]:
    """The span of all values or, if it would flatten the later ones, of these alone."""
    whole, inner = max(values) - min(values), max(later) - min(later)
    chosen = values if whole <= 3 * inner else later
    return min(chosen), max(chosen)


def _show(axes: Axes, points: Points, **how: Any) -> None:
    if points:
        few = {"marker": "o", "markersize": 3} if len(points) <= 20 else {}
        axes.plot(*np.array(points).T, **few, **how)


def _add_key(figure: Figure, with_weights: bool, best: int | None) -> None:
    from matplotlib.lines import Line2D

    lines = {
        "training": Line2D([], [], color=COLOURS[0]),
        "validation": Line2D([], [], color=COLOURS[1]),
    }
    if with_weights:
        lines["training, times its weight"] = Line2D([], [], color=FAINT, linestyle="--")
    if best is not None:
        lines[f"best validation, step {best:,}"] = Line2D([], [], color=INK, linestyle=":")
    # In line with the left edge of the panels, as a title is.
    where = {"loc": "upper left", "bbox_to_anchor": (0.57 / figure.get_figwidth(), 1.0)}
    figure.legend(lines.values(), lines, ncols=len(lines), borderaxespad=0.4, borderpad=0, **where)


class Curves(PictureCallback):
    """Draw `curves` of all that metrics.csv holds."""

    name: ClassVar[str] = "curves"
    caption: ClassVar[str] = (
        "The loss and every term of it, raw and times its weight, and what else validation "
        "reports. An arrow tells where a curve begins that would flatten its panel. If validation "
        "rises while training falls, the model overfits; if the rate falls to 0, the posterior has "
        "collapsed."
    )
    monitor: str = MONITOR  # what the best checkpoint is chosen by; a run's Report sets them
    mode: Mode = "min"

    def suits(self, model: Model, data: Any) -> str | None:
        if self.history is not None and "train/loss" not in self.history:
            return NOTHING
        return None

    def draw(self, model: Model, pair: Pair) -> Figure:
        figures = [f for f in REPORTED if f not in ("l0", "dead_units") or not without_zeros(model)]
        history = self.history or {}
        best = best_step(history, self.monitor, self.mode)
        return curves(history, model.weights(), figures, best)
