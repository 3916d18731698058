"""Errors in the objective, its presets and schedules, networks, noise, and known data."""

from mutants.mutant import Table

SYSTEMS = "test_systems.py"
TRAINED = "test_autoencoder.py"
TERMS = "regularizers/test_every_penalty.py -k add_up"
SCHEDULES = "test_schedules.py"
NORMS = "test_jacobian_norms.py"
CORRUPTIONS = "test_corruptions.py"

TABLE: Table = {
    "ae_lightning/core/randomness.py": [
        (
            "a uniform can be 1",
            ".clamp_(max=1 - 2.0**-53)",
            "",
            "datamodules/test_noise_keys.py",
        ),
        (
            "neighbours share their stream",
            "key = _mix(index * _GOLDEN + seed_of(seed))",
            "key = index * _GOLDEN + seed_of(seed)",
            "distributions/test_distributions.py",
        ),
    ],
    "ae_lightning/corruptions.py": [
        (
            "rows share their noise",
            "generator.manual_seed(s)) for",
            "generator.manual_seed(seeds[0])) for",
            CORRUPTIONS,
        ),
        (
            "σ² for σ",
            "normal_(0.0, self.sigma,",
            "normal_(0.0, self.sigma**2,",
            CORRUPTIONS,
        ),
        ("p for p/2", "round(self.p * LEVELS / 2)", "round(self.p * LEVELS)", CORRUPTIONS),
    ],
    "ae_lightning/nn/mlp.py": [
        ("no slope of the last layer", "A = A * last[:, None]", "A = A + 0 * last[:, None]", NORMS),
        ("no slope on the way back", "v = (v * slope(self.activation, u))", "v = (v)", NORMS),
        (
            "half a gradient",
            "return 2 * g[..., None] * AG, dW",
            "return g[..., None] * AG, dW",
            NORMS,
        ),
    ],
    "ae_lightning/nn/activations.py": [
        (
            "statistics without a gradient",
            "batch = gather(u)",
            "batch = gather(u).detach()",
            NORMS,
        ),
        (
            "averages start at (0, 1), uncorrected",
            "(1 / self.batches).clamp(min=self.momentum)",
            "(1 / self.batches).clamp(min=self.momentum, max=self.momentum)",
            "nn/test_nn.py",
        ),
    ],
    "ae_lightning/nn/identity.py": [
        ("the scale twice", "self.scale * change", "self.scale**2 * change", "theory smoothing"),
    ],
    "ae_lightning/schedules.py": [
        ("a cosine upside down", "(1 + math.cos(math", "(1 - math.cos(math", SCHEDULES),
        (
            "a whole cosine",
            "math.cos(math.pi * progress)",
            "math.cos(2 * math.pi * progress)",
            SCHEDULES,
        ),
        (
            "a line from 0",
            "return self.start + (self.end - self.start) * progress",
            "return self.end * progress",
            SCHEDULES,
        ),
        ("steps for epochs", "clock.epoch / self.epochs", "clock.step / self.epochs", SCHEDULES),
        ("no end", "self.value(min(1.0, progress))", "self.value(progress)", SCHEDULES),
        (
            "the lead of a resumed run is lost",
            "(clock.step + clock.lead)",
            "(clock.step)",
            SCHEDULES,
        ),
        ("a cycle that rises throughout", "phase / self.rise)", "phase)", SCHEDULES),
        ("a fall that does not reach the end", "/ (1 - self.rise))", ")", SCHEDULES),
    ],
    "ae_lightning/model.py": [
        (
            "a sum over samples for a mean",
            "-out.p.log_prob(out.x).mean(0)",
            "-out.p.log_prob(out.x).sum(0)",
            SYSTEMS,
            "theory gradients",
        ),
        (
            "the corrupted input for the clean one",
            "-out.p.log_prob(out.x).mean(0)",
            "-out.p.log_prob(out.x_tilde).mean(0)",
            SYSTEMS,
        ),
        (
            "the clean input for the corrupted one",
            "self.encoder(pair.x_tilde)",
            "self.encoder(pair.x)",
            SYSTEMS,
        ),
        (
            "a sum over the batch for a mean",
            "self.distortion(out).mean()}, out)",
            "self.distortion(out).sum()}, out)",
            SYSTEMS,
        ),
        ("no weight", "loss = loss + weight * terms[name]", "loss = loss + terms[name]", TERMS),
        (
            "a reward",
            "loss = loss + weight * terms[name]",
            "loss = loss - weight * terms[name]",
            TERMS,
            "theory local",
        ),
        ("a stale weight", "r.weight_at(self.clock)", "r.weight_at(Clock())", TRAINED),
        (
            "draws without a gradient",
            "z = q.rsample((R,)) if",
            "z = q.sample((R,)) if",
            SYSTEMS,
            "theory gradients",
        ),
        (
            "evaluation draws anew",
            "sample_by_index(q, R, self.seed, pair.places)",
            "q.rsample((R,))",
            TRAINED,
        ),
        (
            "what is watched draws from training's noise",
            "torch.no_grad(), torch.random.fork_rng(devices=devices), keeping_buffers(self):",
            "torch.no_grad(), keeping_buffers(self):",
            "regularizers/test_every_penalty.py -k watched",
        ),
        (
            "the decoder starts at the mean itself",
            "self.likelihood.link(mean)",
            "mean",
            TRAINED,
        ),
    ],
    "ae_lightning/variants.py": [
        (
            "the mean of logarithms, and .1 log R",
            "log_w.double().logsumexp(0).to(log_w) - math.log(len(log_w))",
            "log_w.mean(0) + 0.1 * math.log(len(log_w))",
            SYSTEMS,
            "theory bound",
        ),
        ("the sum, without 1/R", " - math.log(len(log_w))", "", SYSTEMS, "theory bound"),
        (
            "no prior",
            "log_p + prior.log_prob(out.z) - out",
            "log_p - out",
            SYSTEMS,
            "theory bound",
        ),
        (
            "no gradient through log q",
            "out.q.log_prob(out.z)",
            "out.q.log_prob(out.z).detach()",
            SYSTEMS,
        ),
    ],
    "datamodules/toys/densities.py": [
        (
            "the score of the data's own density",
            "v = self._variance(sigma)\n        means",
            "v = self._variance(0.0)\n        means",
            "datamodules/test_toys.py",
            "theory score",
        ),
        (
            "a score that is too small by 1.15",
            "((expected - x) / v)",
            "((expected - x) / v / 1.15)",
            "datamodules/test_toys.py",
            "theory score",
        ),
    ],
}
