"""The score that denoising learns of densities that are known."""

from .table import Quantity, Row, Table

TOYS = ("MixtureOfGaussians", "Ring", "Spiral")
SIGMAS = (0.5, 0.25, 0.1, 0.05)


def row(toy: str, sigma: float) -> Row:
    """Of a density and a σ, which the network's scale σ² and the likelihood follow."""
    flags = f"""--data.toy {toy} --data.corruption.sigma {sigma}
    --model.decoder.scale {round(sigma**2, 6)} --model.likelihood.sigma {sigma}"""
    return Row(f"{toy}, σ = {sigma}", "score", flags)


TABLE = Table(
    name="score",
    title="The score of points in the plane",
    about="""The root mean square error of (r(x̃) − x̃)/σ² against the exact score ∇ log p_σ of the
    smoothed density, over the root mean square of the latter, at 5,000 corrupted test points; and
    the cosine between the two.""",
    quantities=[
        Quantity("relative error", "score_error", digits=3),
        Quantity("cosine", "cosine_with_score", digits=3),
    ],
    ask={"only": ["score"]},
    quick="--data.size 300",
    rows=[row(toy, sigma) for toy in TOYS for sigma in SIGMAS],
)
