"""What a classifier learns from codes of one size."""

from .table import Quantity, Row, Table

LINEAR = Quantity("linear error, %", "logistic_code_all", times=-100, plus=100)
FEW = Quantity("with 1,000 labels, %", "logistic_code_1000", times=-100, plus=100)
NEIGHBOURS = Quantity("5-NN error, %", "knn_code_all", times=-100, plus=100)
PLAIN = "--model.optimizer.lr 0 --trainer.max_epochs 1 --trainer.limit_train_batches 1"

WHITENED = """once standardised, the last of 512 components are as loud as the first, and say less
of the digit."""


def baseline(name: str, features: str, why: str = "") -> Row:
    """Of other features than the code, which `evaluate` measures beside it."""
    figures = {
        LINEAR.title: f"logistic_{features}_all",
        FEW.title: f"logistic_{features}_1000",
        NEIGHBOURS.title: f"knn_{features}_all",
    }
    return Row(name, "features_ae", instead=figures, why=why)


TABLE = Table(
    name="features",
    title="Features of MNIST for a classifier",
    about="""Test errors of logistic regression on standardised features and of the five nearest
    neighbours, which learn from the codes of 10,000 training images, or 1,000 in five draws. Every
    code has 512 elements and one layer, trained on 55,000 images for six epochs; intervals hold 95
    %. The claim is the order: random < autoencoder < denoising < contractive.""",
    quantities=[LINEAR, FEW, NEIGHBOURS],
    ask={"only": ["representation"]},
    rows=[
        baseline("pixels", "raw"),
        baseline("PCA", "pca", WHITENED),
        Row("random, untrained", "features_ae", PLAIN),
        Row("autoencoder, tied", "features_ae"),
        Row("sparse, L1", "features_sparse"),
        Row("denoising, masking 0.25", "features_dae"),
        Row("contractive", "features_cae"),
    ],
)
