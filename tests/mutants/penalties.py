"""Errors in regularizers."""

from mutants.mutant import Table

CODES = "regularizers/test_sparsity.py"
HELD = "test_held_to_prior.py"
DIVERGENCES = "regularizers/test_divergences.py"
CORRELATION = "regularizers/test_total_correlation.py"
DERIVATIVES = "regularizers/test_contractive.py"
WEIGHTS = "regularizers/test_weights.py"
EVERY = "regularizers/test_every_penalty.py"
SCALE = "regularizers/test_free_scale.py"
WALK = "regularizers/test_walkback.py"

TABLE: Table = {
    "ae_lightning/regularizers/base.py": [
        (
            "evaluation draws anew",
            "        torch.manual_seed(model.seed)\n",
            "",
            EVERY + " -k repeatable",
        ),
        (
            "a learned prior holds the scale",
            "return self.holds_prior and not model.prior.learned",
            "return self.holds_prior",
            SCALE,
        ),
        (
            "the first weight for the last",
            "return self.weight.end if",
            "return self.weight.start if",
            HELD,
        ),
    ],
    "ae_lightning/regularizers/mmd.py": [
        ("once, not twice", "- 2 * k_zy", "- k_zy", DIVERGENCES),
        (
            "an example with itself",
            "(k.sum((-2, -1)) - same) / max(1, N * (N - 1))",
            "k.mean((-2, -1))",
            DIVERGENCES,
        ),
        ("s for s²", "self.scale**2)", "self.scale)", DIVERGENCES),
        ("no K", "(2 * x.shape[-1] * self", "(2 * self", DIVERGENCES),
        (
            "digits are lost far from the origin",
            "x.mean(-2, keepdim=True).detach()",
            "0 * x.mean(-2, keepdim=True)",
            HELD,
        ),
        ("components weigh alike", ".mean((-2, -1)) @ pi  # (R,)", ".mean((-3, -2, -1))", HELD),
    ],
    "ae_lightning/regularizers/divergences.py": [
        (
            "free bits of an example",
            ".mean(0).clamp(min=self.free_bits).sum()",
            ".clamp(min=self.free_bits).mean(0).sum()",
            DIVERGENCES,
        ),
        (
            "the square for the distance",
            "model.clock)).abs()",
            "model.clock)).square()",
            DIVERGENCES,
        ),
        (
            "a stale capacity",
            "value_at(self.capacity, model.clock)",
            "value_at(self.capacity, type(model.clock)())",
            DIVERGENCES,
        ),
        (
            "the opposite sign",
            "(log_joint - log_product)",
            "(log_product - log_joint)",
            CORRELATION,
        ),
        (
            "a sum over samples for a mean",
            "(log_joint - log_product).mean(0)",
            "(log_joint - log_product).sum(0)",
            CORRELATION,
        ),
        ("a share too much", "(1 - 1 / N) / (M - 1)", "1 / (M - 1)", CORRELATION),
        ("an example's own share", ", own] = 1 / N", ", own] = 1 / M", CORRELATION),
        (
            "no weights in the product",
            "(log_q + log_w[..., None])",
            "(log_q + 0 * log_w[..., None])",
            CORRELATION,
        ),
        ("no N", "1 / (M * (self.dataset_size or 1))", "1 / M", CORRELATION),
    ],
    "ae_lightning/regularizers/walkback.py": [
        ("the walk's own state for x", "-p.log_prob(x)", "-p.log_prob(x_t)", WALK),
        ("a walk of means", "x_t = p.sample()", "x_t = p.mean", WALK),
        ("σ² for σ", "self.sigma * torch.randn_like", "self.sigma**2 * torch.randn_like", WALK),
        (
            "a sum over steps for a mean",
            "torch.stack(penalties).mean(0)",
            "torch.stack(penalties).sum(0)",
            WALK,
        ),
        ("a walk that stands still", "x_t = p.sample()", "p.sample()", WALK),
    ],
    "ae_lightning/regularizers/weights.py": [
        (
            "tied weights twice",
            "dict.fromkeys([*weights_of(model.decoder), *model.decoder.tied()])",
            "[*weights_of(model.decoder), *model.decoder.tied(), *model.decoder.tied()]",
            WEIGHTS,
        ),
        ("tied weights not at all", ", *model.decoder.tied()])", "])", WEIGHTS),
        (
            "norms for their squares",
            "theta.square().sum() for theta",
            "theta.norm() for theta",
            WEIGHTS,
        ),
        ("no identity", "(W.mT @ W - eye)", "(W.mT @ W)", WEIGHTS),
        ("rows for columns", "(W.mT @ W - eye)", "(W @ W.mT - torch.eye(len(W)).to(W))", WEIGHTS),
    ],
    "ae_lightning/regularizers/contractive.py": [
        (
            "at the corrupted input",
            "squared_jacobian(model, out.x, features)",
            "squared_jacobian(model, out.x_tilde, features)",
            DERIVATIVES,
        ),
        (
            "features of the corrupted input",
            "out.x_tilde is out.x and out",
            "out",
            DERIVATIVES,
        ),
        (
            "activations of half precision",
            " and out.features.dtype == out.x.dtype",
            "",
            "test_plugin_posteriors.py",
        ),
        (
            "a sum over projections for a mean",
            "u, features).square().sum(2).mean(0)",
            "u, features).square().sum((0, 2))",
            DERIVATIVES,
        ),
        (
            "a sum over projections of r for a mean",
            ".flatten(2).sum(2).mean(0)",
            ".flatten(2).sum(2).sum(0)",
            DERIVATIVES,
        ),
        (
            "the code for the reconstruction",
            "return squared_reconstruction_jacobian(model, out.x)",
            "return squared_jacobian(model, out.x)",
            DERIVATIVES,
        ),
        (
            "the code for the reconstruction, projected",
            "vector_jacobian(model.reconstruct, out.x, u)",
            "vector_jacobian(model.code, out.x, u.flatten(2)[..., : model.latent])",
            DERIVATIVES,
        ),
        (
            "away from the data",
            "vector_jacobian(model.reconstruct, out.x, u)",
            "vector_jacobian(model.reconstruct, 0 * out.x, u)",
            DERIVATIVES,
            "theory local",
        ),
        (
            "no gradient",
            "vector_jacobian(model.reconstruct, out.x, u).square()",
            "vector_jacobian(model.reconstruct, out.x, u).detach().square()",
            EVERY + " -k reaches",
            "theory local",
        ),
        ("unscaled projections", " / self.projections**0.5", "", DERIVATIVES),
        (
            "σ² for σ",
            "epsilon = self.sigma * torch",
            "epsilon = self.sigma**2 * torch",
            DERIVATIVES,
        ),
        (
            "a sum over ε for a mean",
            "for c in change]).mean(0)",
            "for c in change]).sum(0)",
            DERIVATIVES,
        ),
        ("no γ", "+ self.gamma * H", "+ H", DERIVATIVES),
        (
            "projections drawn anew",
            "vector_jacobian(model.code, x + e, u) - J",
            "vector_jacobian(model.code, x + e, torch.randn_like(u)) - J",
            DERIVATIVES,
        ),
    ],
    "ae_lightning/regularizers/sparsity.py": [
        ("b for 1/b", ".mean(0) / self.scale", ".mean(0) * self.scale", CODES, "theory sparsity"),
        (
            "a weight for its inverse in the prior",
            "(self.scale / self.final_weight)",
            "(self.scale * self.final_weight)",
            HELD,
        ),
        ("two sides for one", "isinstance(posterior.activation, Rectifier)", "False", HELD),
        ("no +1", "(self.df + 1) / 2 * t", "self.df / 2 * t", CODES),
        ("ν is left out", ".square() / self.df", ".square()", CODES),
        ("no ½", "out.z.square().sum(-1).mean(0) / 2", "out.z.square().sum(-1).mean(0)", CODES),
        ("σ² for σ in the prior", "self.final_weight**-0.5", "self.final_weight**-1", HELD),
        ("KL(ρ̂ ‖ ρ)", "kl_divergence(rho, rho_hat)", "kl_divergence(rho_hat, rho)", CODES),
        ("units for examples", "code.mean(0).clamp", "code.mean(1).clamp", CODES),
    ],
}
