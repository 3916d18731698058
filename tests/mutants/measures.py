"""Errors in geometry, samplers, metrics and the evidence."""

from mutants.mutant import Table

GEOMETRY = "test_geometry.py"
NORMS = "test_jacobian_norms.py"
SAMPLERS = "test_samplers.py"
METRICS = "test_metrics.py"
EVIDENCE = "test_evidence.py"
SCORES = (GEOMETRY, "theory smoothing", "theory chains")

MEASURED = "inference/test_measures.py"
PROBED = "inference/test_representation.py"

TABLE: Table = {
    "ae_lightning/inference/measures/score.py": [
        ("the square of the relative error", "(error / true) ** 0.5", "error / true", MEASURED),
        ("relative to the learned score", "(error / true)", "(error / learned)", MEASURED),
        ("no norm in the cosine", "(learned * true) ** 0.5", "true", MEASURED),
    ],
    "ae_lightning/inference/measures/reconstruction.py": [
        ("σ for σ² in the Wiener filter", "1 - sigma**2 / v", "1 - sigma / v", MEASURED),
        ("no square of the local mean", "square - m.square()", "square", MEASURED),
        ("the worst window", "side = min(", "side = max(", MEASURED),
    ],
    "ae_lightning/inference/measures/finetuning.py": [
        (
            "the encoder stays frozen",
            "self.requires_grad_(True)",
            "self.head.requires_grad_(True)",
            PROBED,
        ),
        ("the model itself is trained", "copy.deepcopy(model.encoder)", "model.encoder", PROBED),
    ],
    "ae_lightning/geometry.py": [
        ("1.13 times the score", "/ sigma**2", "/ sigma**2 * 1.13", *SCORES),
        ("the score too small by 1.15", "/ sigma**2", "/ sigma**2 / 1.15", *SCORES, "theory score"),
        ("σ for σ² in the score", "/ sigma**2", "/ sigma", *SCORES),
        (
            "the opposite score",
            "(model.reconstruct(x_tilde) - x_tilde)",
            "(x_tilde - model.reconstruct(x_tilde))",
            *SCORES,
        ),
        (
            "a' for a'²",
            "slope(activation, single(features)).square() * rows",
            "slope(activation, single(features)) * rows",
            NORMS,
        ),
        (
            "no a' in the norm",
            "rows = slope(activation, single(features)).square() * rows",
            "pass",
            NORMS,
        ),
        (
            "no a' in a projection",
            "v = u * slope(activation, single(features))",
            "v = u",
            NORMS,
        ),
        (
            "a plug-in posterior's own Jacobian is left out",
            "v = vector_jacobian(posterior.code, single(features), u)",
            "v = u",
            "test_plugin_posteriors.py",
        ),
        (
            "all of a product for its trace",
            "(J_g.mT @ J_g) * (J_f @ J_f.mT)",
            "(J_g.mT @ J_g) @ (J_f @ J_f.mT)",
            NORMS,
        ),
        ("rows for columns of V", "return V[:, :k]", "return V.mT[:, :k]", GEOMETRY),
        (
            "right for left singular vectors",
            "U, values, _ = torch",
            "_, values, U = torch",
            GEOMETRY,
        ),
    ],
    "ae_lightning/samplers.py": [
        ("√ε for √2ε", "math.sqrt(2 * step)", "math.sqrt(step)", SAMPLERS, "theory chains"),
        ("ε/2 for ε", "step * score(x)", "step / 2 * score(x)", SAMPLERS, "theory chains"),
        (
            "noise is reused",
            "* torch.randn_like(x)\n    return x",
            "* torch.randn(x.shape, generator=torch.Generator().manual_seed(0))\n    return x",
            SAMPLERS,
            "theory chains",
        ),
        (
            "σ² for σ in the chain",
            "x + sigma * torch.randn_like(x), x",
            "x + sigma**2 * torch.randn_like(x), x",
            SAMPLERS,
            "theory chains",
        ),
        (
            "a chain of means",
            "denoise(corrupt(x)).sample()",
            "denoise(corrupt(x)).mean",
            SAMPLERS,
            "theory chains",
        ),
        ("means for draws of x", "density)).sample()", "density)).mean", SAMPLERS),
    ],
    "ae_lightning/metrics.py": [
        ("20 dB for 10", "return 10 * torch.log10", "return 20 * torch.log10", METRICS),
        (
            "no extent in the peak",
            "(value_range[1] - value_range[0]) ** 2 / mse",
            "1 / mse",
            METRICS,
        ),
        ("covariance once, not twice", "(2 * vxy + c2)", "(vxy + c2)", METRICS),
        ("a wider window", "(2 * 1.5**2)", "(2 * 1.6**2)", METRICS),
        ("nats for bits", "nll / (x * math.log(2)) + 8", "nll / x + 8", METRICS),
        ("no change of scale", "nll / (x * math.log(2)) + 8", "nll / (x * math.log(2))", METRICS),
        (
            "no variance between parts",
            "(M + n * (mean - joint).square()).sum(0)",
            "M.sum(0)",
            METRICS,
        ),
        (
            "batches count alike",
            "[len(out.x) * (name in figures) for",
            "[1.0 * (name in figures) for",
            METRICS,
        ),
        (
            "the error of a draw for that of the code",
            "reconstruction = model.decode(code).mean",
            "reconstruction = out.p.mean[0]",
            METRICS,
        ),
        (
            "the penalty for the KL in the bound",
            'values["distortion"] + values["kl"])',
            'values["distortion"] + values["rate"])',
            METRICS,
        ),
        (
            "the rate's sign in the bound",
            'values["distortion"] + values["kl"])',
            'values["distortion"] - values["kl"])',
            METRICS,
        ),
        ("a sum of squares for a variance", "(squares / count >", "(squares >", METRICS),
        (
            "the largest for the magnitude",
            "counts * code.abs().amax(0)",
            "counts * code.amax(0)",
            METRICS,
        ),
    ],
    "ae_lightning/evidence.py": [
        ("the sum, without 1/K", " - math.log(samples)", "", EVIDENCE),
        (
            "the mean of logarithms",
            ".logsumexp(0) - math.log(samples)",
            ".mean(0)",
            EVIDENCE,
        ),
        ("chunks share their noise", "seed_of(seed, start)", "seed_of(seed, 0)", EVIDENCE),
        ("no log q", " - q.log_prob(z).double()", "", EVIDENCE),
        ("no prior", " + prior.log_prob(z).double()", "", EVIDENCE),
        ("examples share their noise", "places_g)[: samples", "0 * places_g)[: samples", EVIDENCE),
    ],
}
