"""Whether less or more of a metric is better, so that no one optimises the wrong way round."""

from typing import Final, Literal

from ae_lightning.core.errors import UsageError

Mode = Literal["min", "max"]
BETTER: Final[dict[str, Mode]] = {
    **dict.fromkeys(("loss", "objective", "bound", "distortion", "mse", "dead_units"), "min"),  # type: ignore[dict-item]
    **dict.fromkeys(("elbo", "psnr", "ssim", "active_units"), "max"),  # type: ignore[dict-item]
}


def known_mode(monitor: str) -> Mode | None:
    """Return which value of a metric is the best, or None if that depends on what one wants.

    >>> known_mode("val/elbo"), known_mode("val/objective"), known_mode("val/rate")
    ('max', 'min', None)
    """
    return BETTER.get(monitor.rpartition("/")[2])


def refuse_contradiction(monitor: str, mode: str | None, of: str) -> None:
    """Refuse a mode that contradicts what is known of a metric.

    Args:
        of: what has this mode, for the sentence.

    Raises:
        UsageError: naming the metric, and which mode is right.
    """
    known = known_mode(monitor)
    if known and mode not in (None, known):
        better = {"min": "less", "max": "more"}[known]
        raise UsageError(
            f"the mode of {of} is {mode}, and {better} is better of {monitor}: set {known}."
        )
