"""What a classifier learns from codes of one size."""

from dataclasses import replace

from .table import Quantity, Row, Table

LINEAR = Quantity("linear error, %", "logistic_code_all", times=-100, plus=100)
FEW = Quantity("with 1,000 labels, %", "logistic_code_1000", times=-100, plus=100)
NEIGHBOURS = Quantity("5-NN error, %", "knn_code_all", times=-100, plus=100)
AUTOENCODER = Row("autoencoder, tied", "features_ae")
DENOISING = Row("denoising, masking 0.25", "features_dae")
CONTRACTIVE = Row("contractive", "features_cae")
UNTRAINED = "--model.optimizer.lr 0 --trainer.max_epochs 1 --trainer.limit_train_batches 1"

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
    %. The claim is the order, from random over plain and denoising to contractive features.""",
    quantities=[LINEAR, FEW, NEIGHBOURS],
    ask={"only": ["representation"]},
    rows=[
        baseline("pixels", "raw"),
        baseline("PCA", "pca", WHITENED),
        Row("random, untrained", "features_ae", UNTRAINED),
        AUTOENCODER,
        Row("sparse, L1", "features_sparse"),
        DENOISING,
        CONTRACTIVE,
    ],
)

TUNED = Quantity("error after fine-tuning, %", "finetuned_accuracy", times=-100, plus=100)
UNTUNED = """our features are 512, trained for six epochs, no setting was chosen by a search, and
fine-tuning goes on to gain: the plain ones were at 3.64 % after 4,000 steps, 2.29 % after 12,000,
and 2.01 % after 40,000."""


def tuned(row: Row, published: float) -> Row:
    """The same training, with the encoder learning on."""
    return replace(row, published={TUNED.title: published}, why=UNTUNED)


FINETUNED = Table(
    name="finetuned",
    title="Features of MNIST after fine-tuning",
    about="""Test errors of a linear classifier that is trained together with the encoder, on the
    labels of 55,000 images, for 20,000 steps. The claim is the order.""",
    source="""Rifai, Vincent, Muller, Glorot and Bengio, *Contractive Auto-Encoders*, ICML 2011,
    table 1.""",
    quantities=[TUNED],
    ask={"only": ["finetuning"], "labels": 55_000},
    rows=[
        tuned(AUTOENCODER, 1.78),
        tuned(DENOISING, 1.18),
        tuned(CONTRACTIVE, 1.14),
    ],
)
