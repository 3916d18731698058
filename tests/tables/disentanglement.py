"""Whether single elements of the code stand for single factors."""

from .table import Quantity, Row, Table

TABLE = Table(
    name="disentanglement",
    title="Disentanglement on Sprites",
    about="""Ten numbers for drawn shapes of known position, scale, rotation and shape, on 2,000
    test images: the mutual information gap (Chen et al., 2018), and DCI (Eastwood and Williams,
    2018) by random forests. All in [0, 1], the larger the better.""",
    quantities=[
        Quantity("MIG", "mig", digits=3),
        Quantity("DCI: disentanglement", "dci_disentanglement", digits=3),
        Quantity("completeness", "dci_completeness", digits=3),
        Quantity("informativeness", "dci_informativeness", digits=3),
    ],
    ask={"only": ["disentanglement"]},
    seeds=range(5),
    quick="--data.size 640",
    rows=[
        Row("VAE", "sprites_vae"),
        Row("β-VAE, β = 4", "sprites_beta_vae"),
        Row("β-TCVAE, β = 6", "sprites_beta_tc"),
    ],
)
