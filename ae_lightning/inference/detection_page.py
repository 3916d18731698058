"""A page of what detection finds: the scores, and the worst examples with their errors."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ae_lightning.callbacks.drawing.images import is_image, limits_of, tile
from ae_lightning.callbacks.drawing.saving import png
from ae_lightning.callbacks.drawing.theme import (
    COLOURS,
    INK,
    SEQUENTIAL,
    Figure,
    Room,
    house_style,
    legend,
    new_figure,
)
from ae_lightning.callbacks.report.rendering import fill
from ae_lightning.inference.findings import Example, Findings

BINS = 60
SIDE = 96  # pixels of a shown image


def detection_page(findings: Findings, data: str) -> str:
    """Return the page as HTML.

    Args:
        data: what the examples are called.
    """
    trained, score = findings.detector.trained, findings.detector.score
    largest = max((float(e.error.max()) for e in findings.worst), default=0.0) or 1.0
    image = is_image(trained.shape)
    shown = [
        {
            **{name: getattr(e, name) for name in ("path", "label", "score", "p_value", "anomaly")},
            "images": pictures(findings, e, largest) if image else [],
        }
        for e in findings.worst
    ]
    page: str = fill(
        "detection.html.jinja",
        title=f"Anomalies in {data}",
        model=str(trained.file),
        score=type(score).__name__,
        meaning=(type(score).__doc__ or "").partition("\n")[0],
        guarantee=findings.guarantee(),
        summary=findings.summary(),
        histogram=png(histogram(findings)),
        worst=shown,
        largest=largest,
        width=max(SIDE, trained.shape[-1]) if image else 0,
        zoomed=image and trained.shape[-1] <= SIDE,
    )
    return page


def pictures(findings: Findings, example: Example, largest: float) -> list[tuple[str, bytes]]:
    """An example, its reconstruction and the map of its error, each with its name."""
    from matplotlib import colormaps

    x, r = torch.as_tensor(example.x), torch.as_tensor(example.r)
    limits = limits_of(findings.detector.trained.model, torch.stack([x, r]))
    coloured = colormaps[SEQUENTIAL](example.error[0] / largest)[..., :3].astype(np.float32)
    return [
        ("input", as_png(tile(x[None, None], limits))),
        ("reconstruction", as_png(tile(r[None, None], limits))),
        ("error", as_png(coloured)),
    ]


def as_png(values: NDArray[Any]) -> bytes:
    """An image (H, W, C) with values in [0, 1] as a PNG."""
    from PIL import Image

    levels = (values * 255).round().astype(np.uint8)
    image = Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)
    image.save(file := BytesIO(), "png")
    return file.getvalue()


def histogram(findings: Findings) -> Figure:
    """Draw how the scores of the calibration and of the data are distributed."""
    calibration, unit = findings.detector.calibration, findings.detector.score.unit
    scores, truth = findings.scores, findings.anomalous
    groups = [("calibration", calibration.scores)]
    if truth is None or truth.all() or not truth.any():
        groups.append(("data", scores))
    else:
        groups += [("clean data", scores[~truth]), ("anomalies", scores[truth])]
    edges = bins_of([values for _, values in groups], calibration.threshold)
    with house_style():
        figure = new_figure(6.6, 2.8, room=Room())
        axes = figure.subplots()
        for (name, values), colour in zip(groups, COLOURS, strict=False):
            shares = np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values)
            axes.stairs(shares, edges, label=name, color=colour, fill=True, alpha=0.45)
        axes.axvline(calibration.threshold, color=INK, linestyle="--", label="threshold")
        axes.set(xlabel=f"score: {unit}", ylabel="share of examples", ylim=(0, None))
        legend(axes)
    return figure


def bins_of(groups: Sequence[NDArray[Any]], threshold: float) -> NDArray[np.float64]:
    """Edges that hold all but the outermost 1/100 of every group; what is beyond is put in."""
    quantiles = [np.quantile(values[np.isfinite(values)], [0.01, 0.99]) for values in groups]
    low = min(threshold, *(float(q[0]) for q in quantiles))
    high = max(threshold, *(float(q[1]) for q in quantiles))
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, BINS + 1)
