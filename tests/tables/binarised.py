"""Variational and importance-weighted autoencoders of binarised digits."""

from dataclasses import replace

from .table import Quantity, Row, Table

NLL = Quantity("−log p(x), nats", "log_p", times=-1)
UNITS = Quantity("active units", "active_units", digits=0)
ELBO = Quantity("−ELBO, nats", "elbo", times=-1)
# Trainings of fewer epochs, in batches of 100 in place of 20, by the eight rates of the schedule.
FEWER = {
    16: "--model.lr_schedule.milestones [1,2,3,4,6,8,12]",
    328: """--model.lr_schedule.milestones [1,2,3,4,12,36,109]
    --trainer.check_val_every_n_epoch 8""",
}
FALLS_SHORT = """it has {} of 3,280 epochs, in batches of 100 in place of 20; −log p(x) is over the
first 500 test images, and theirs over all 10,000."""
HOURS = {1: 10, 5: 14, 50: 59}  # by the number of samples


def rows(name: str, recipe: str, k: int, nll: float, units: int, fewer: bool = True) -> list[Row]:
    """The shorter trainings, if wanted, and the whole one of a model with k samples."""
    published = {NLL.title: nll, UNITS.title: units}
    whole = Row(
        f"{name}, k = {k}",
        recipe,
        f"--model.samples {k}",
        published,
        needs=f"9 million steps, about {HOURS[k]} hours of one core",
    )
    return [*(shorter(whole, epochs) for epochs in FEWER if fewer), whole]


def shorter(whole: Row, epochs: int) -> Row:
    """The same model, trained for fewer epochs."""
    flags = f"--trainer.max_epochs {epochs} {FEWER[epochs]} --data.batch_size 100"
    return replace(
        whole,
        name=f"{whole.name}, {epochs} epochs",
        flags=f"{whole.flags} {flags}",
        why=FALLS_SHORT.format(epochs),
        needs="",
    )


TABLE = Table(
    name="binarised",
    title="Likelihood of dynamically binarised MNIST",
    about="""One stochastic layer of 50 units, two layers of 200 on each side, by the paper's
    optimizer; k samples in training. −log p(x) by importance sampling with 5,000 samples, −ELBO
    over all test images.""",
    source="""Burda, Grosse and Salakhutdinov, *Importance Weighted Autoencoders*, ICLR 2016, table
    1: 3,280 epochs, and 10,000 test images.""",
    quantities=[NLL, UNITS, ELBO],
    ask={
        "only": ["likelihood", "information"],
        "samples": 5000,
        "repeats": 1,
        "subset": 500,
    },
    rows=[
        *rows("VAE", "burda_vae", 1, 86.76, 19),
        *rows("VAE", "burda_vae", 5, 86.47, 20, fewer=False),
        *rows("VAE", "burda_vae", 50, 86.35, 20, fewer=False),
        *rows("IWAE", "burda_iwae", 5, 85.54, 22),
        *rows("IWAE", "burda_iwae", 50, 84.78, 25, fewer=False),
    ],
)
