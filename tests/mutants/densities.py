"""Errors in likelihoods, posteriors, priors, and the distributions that they return."""

from mutants.mutant import Table

LIKELIHOODS = "test_likelihoods.py"
FAST = "distributions/test_independent.py"
DIVERGENCES = "distributions/test_distributions.py"
POSTERIORS = "test_posteriors.py"
PRIORS = "test_priors.py"
HELD = "test_held_to_prior.py"

TABLE: Table = {
    "ae_lightning/likelihoods.py": [
        (
            "the floor of log σ clamps",
            "F.softplus(s - FLOOR) + FLOOR",
            "s.clamp(min=FLOOR)",
            LIKELIHOODS,
        ),
        (
            "log σ starts where the floor would raise it",
            "math.log(math.expm1(log_sigma - FLOOR))",
            "log_sigma - FLOOR",
            LIKELIHOODS,
        ),
        ("σ² for σ", "self.log_sigma.exp()", "(2 * self.log_sigma).exp()", LIKELIHOODS),
        (
            "each σ of its own starts at 1",
            "torch.full_like(mean, self.start)",
            "torch.zeros_like(mean)",
            LIKELIHOODS,
        ),
        (
            "a decoder starts at the mean, not at its logit",
            "return _interior(mean).logit()",
            "return _interior(mean)",
            LIKELIHOODS,
        ),
        (
            "a continuous Bernoulli starts at Bernoulli's logit",
            "invert(tilted_mean, _interior(mean))",
            "_interior(mean).logit()",
            LIKELIHOODS,
        ),
    ],
    "ae_lightning/distributions/independent.py": [
        (
            "no ½ log 2π",
            "return -energy - D / 2 * math.log(2 * math.pi)",
            "return -energy",
            LIKELIHOODS,
            "theory likelihood",
            "theory bound",
            "theory point",
        ),
        ("σ for σ²", "(-2 * s).exp() / 2 + D * s", "(-s).exp() / 2 + D * s", LIKELIHOODS),
        (
            "one log σ for D elements",
            "/ 2 + D * s",
            "/ 2 + s",
            LIKELIHOODS,
            "theory bound",
            "theory point",
        ),
        ("log σ² for log σ", ".square() / 2 + s)", ".square() / 2 + 2 * s)", LIKELIHOODS),
        ("log b for log 2b", "math.log(2 * self.scale)", "math.log(self.scale)", LIKELIHOODS),
        ("the gradient of another function", "* l.sigmoid()", "* l.tanh()", FAST),
        ("the bound of log σ clamps", " - excess + excess.asinh()", " - excess", POSTERIORS),
    ],
    "ae_lightning/distributions/continuous_bernoulli.py": [
        (
            "no l in the constant where l > 0",
            "l.clamp(min=0) + (-torch.expm1(-a) / a).log()",
            "(-torch.expm1(-a) / a).log()",
            LIKELIHOODS,
        ),
        ("a sign in the series", "0.5 + near * _polynomial", "0.5 - near * _polynomial", FAST),
        ("a sign in a Bernoulli number", "1 / 42, -1 / 30, 5 / 66", "1 / 42, 1 / 30, 5 / 66", FAST),
        ("samples are mirrored", "where(l > 0, 1 - y, y)", "where(l > 0, y, 1 - y)", LIKELIHOODS),
    ],
    "ae_lightning/distributions/categorical.py": [
        (
            "a level is rounded down",
            "(value * self.top).round()",
            "(value * self.top).floor()",
            FAST,
        ),
        ("levels are k/L", "/ (levels - 1)", "/ levels", LIKELIHOODS),
        ("the gradient's sign", ".mul_(-g)", ".mul_(g)", FAST),
        (
            "no second derivative",
            "if torch.is_grad_enabled():",
            "if False:",
            FAST,
        ),
    ],
    "ae_lightning/distributions/kl.py": [
        (
            "½ log σ for log σ",
            "- q.scale.log()",
            "- q.scale.log() / 2",
            DIVERGENCES,
            "theory bound",
        ),
        ("σ for σ²", "q.scale.square() - 1", "q.scale - 1", DIVERGENCES, "theory bound"),
        ("no −1", "q.scale.square() - 1) / 2", "q.scale.square()) / 2", DIVERGENCES),
        (
            "a sum over samples for a mean",
            "(q.log_prob(z) - p.log_prob(z)).mean(0)",
            "(q.log_prob(z) - p.log_prob(z)).sum(0)",
            DIVERGENCES,
        ),
        (
            "KL(p ‖ q)",
            "kl_divergence(q.base_dist, p.base_dist)",
            "kl_divergence(p.base_dist, q.base_dist)",
            DIVERGENCES,
        ),
    ],
    "ae_lightning/distributions/keyed_sampling.py": [
        (
            "examples share their noise",
            "uniform_by_index(seed, index.cpu(), n",
            "uniform_by_index(seed, 0 * index.cpu(), n",
            DIVERGENCES,
        ),
        (
            "samples share their noise",
            "*base.loc.shape[1:]).transpose(0, 1)",
            "*base.loc.shape[1:]).transpose(0, 1)[:1].expand(n, *base.loc.shape)",
            DIVERGENCES,
        ),
        (
            "σ² for σ",
            "base.scale * epsilon.to(base.loc)",
            "base.scale.square() * epsilon.to(base.loc)",
            DIVERGENCES,
        ),
    ],
    "ae_lightning/posteriors.py": [
        (
            "log σ is read as log σ²",
            "bounded(log_sigma).exp()",
            "bounded(log_sigma / 2).exp()",
            POSTERIORS,
            "theory bound",
        ),
        (
            "μ and log σ in the other order",
            "mu, log_sigma = features",
            "log_sigma, mu = features",
            POSTERIORS,
        ),
        (
            "σ² for a given σ",
            "torch.full_like(features, self.sigma)",
            "torch.full_like(features, self.sigma**2)",
            POSTERIORS,
        ),
        (
            "no activation",
            "code = features if self.activation is None else self.activation(features)",
            "code = features",
            POSTERIORS,
        ),
        (
            "a subclass inherits that its code is direct",
            'cls.__dict__.get("direct", False)',
            "cls.direct",
            "test_plugin_posteriors.py",
        ),
    ],
    "ae_lightning/priors.py": [
        ("a rate for a mean", "OneSided(1 / scale,", "OneSided(scale,", PRIORS),
        (
            "a density where there is none",
            "log_p.masked_fill(value < 0, -math.inf)",
            "log_p",
            PRIORS,
        ),
        ("σ² for σ", "bounded(self.log_sigmas).exp()", "(2 * self.log_sigmas).exp()", PRIORS),
        (
            "noise on the examples themselves",
            "noise[: len(x)] = 0",
            "noise[:0] = 0",
            PRIORS,
        ),
        (
            "a standard normal of another scale",
            "torch.ones_like(self.loc)",
            "1.1 + self.loc",
            PRIORS,
        ),
    ],
}
