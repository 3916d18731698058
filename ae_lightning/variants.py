"""What a model is beyond its parts: these need no Lightning, and systems build on them."""

import math
from inspect import signature
from typing import ClassVar

from torch import Tensor

from ae_lightning.core.parts import Record, to_plain
from ae_lightning.core.types import ForwardPass
from ae_lightning.distributions import require_event
from ae_lightning.model import Model


class Denoising(Model):
    """A model that is trained on corrupted inputs alone."""

    needs_corruption = True


class ImportanceWeighted(Model):
    r"""A model under the importance-weighted bound of R samples, which holds the rate already.

    .. math:: L_R = E \log \frac{1}{R} \sum_r \frac{p(x|z_r)\, p(z_r)}{q(z_r|x)} \le \log p(x)

    `loss` is −L_R and the penalties; distortion, rate and `elbo` are those at R = 1.

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
    """

    bound_terms: ClassVar[tuple[str, ...]] = ("bound", "distortion")
    bound_holds_prior = True

    def objective(self, out: ForwardPass) -> dict[str, Tensor]:
        log_p, prior = out.p.log_prob(out.x), self.prior()  # (R, B)
        require_event(prior, out.q.event_shape, "the prior")
        log_w = log_p + prior.log_prob(out.z) - out.q.log_prob(out.z)
        L = log_w.double().logsumexp(0).to(log_w) - math.log(len(log_w))
        terms = self.penalised({"bound": -L.mean()}, out)
        return {**terms, "distortion": -log_p.detach().mean()}


def parts_record(model: Model) -> Record | None:
    """The record of a model of the same parts without Lightning; None for a user's own class."""
    if not type(model).__module__.startswith("ae_lightning."):
        return None
    kind = next(c for c in (Denoising, ImportanceWeighted, Model) if isinstance(model, c))
    own = {name: getattr(model, name) for name in signature(Model).parameters}
    own |= {"regularizers": dict(model.regularizers.items())}
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": to_plain(own)}
