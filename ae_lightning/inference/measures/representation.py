"""What a classifier learns from codes, beside raw elements and principal components."""

import warnings
from collections.abc import Callable, Iterator
from statistics import mean, stdev
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ae_lightning.core.printing import counted
from ae_lightning.core.randomness import seed_of
from ae_lightning.inference.codes import array
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import STANDARD, Z95, Figure, NotDefined, Settings
from ae_lightning.inference.trained import TrainedModel

Array = NDArray[Any]
Features = Callable[[Array, Array], Array]  # x (B, D) and codes z (B, K) -> (B, F)

FEW: Final = (100, 1000)  # labels
DRAWS: Final = 5  # of few labels
NEIGHBOURS: Final = 5
ITERATIONS: Final = 300


@torch.no_grad()
def representation(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    """Measure the accuracy of logistic regression and of k-nearest neighbours on the examples.

    They learn from codes of the training split, with all labels (at most `settings.labels`) and,
    in five draws each, with 100 and 1,000; and likewise from raw elements, and from as many
    principal components of them as the code has elements. Features are standardised for logistic
    regression, and left as they are for neighbours. Intervals hold 95 %: over the examples
    (Wilson's) with all labels, and over the draws (Student's t) with few.
    """
    if any(group.split == "train" for group in inputs.groups):
        raise NotDefined("the probes learn from the split train: measure them on val or test.")
    source = Inputs(inputs.data, inputs.data.named("train"), settings.labels)
    parts = list(labelled(trained, source, settings.batch_size))
    x, z, y = (np.concatenate(of) for of in zip(*parts, strict=True))
    if len(np.unique(y)) < 2:
        raise NotDefined(
            f"probes need two classes or more, and have {counted(len(y), 'label')} of one to learn "
            "from."
        )
    maps, subsets = features_of(x, z, settings.seed), drawn(y, settings.seed)
    probes = {
        (kind, n, name): [fit(features[rows], y[rows]) for rows in draws]
        for name, of in maps.items()
        for features in [of(x, z)]
        for kind, fit in FITS.items()
        for n, draws in subsets.items()
    }
    hits = {key: [0] * len(found) for key, found in probes.items()}
    for x_b, z_b, y_b in labelled(trained, inputs, settings.batch_size):
        given = {name: of(x_b, z_b) for name, of in maps.items()}
        for key, found in probes.items():
            for i, probe in enumerate(found):
                hits[key][i] += int((probe.predict(given[key[2]]) == y_b).sum())
    return [accuracy(*key, counts, len(inputs), len(y)) for key, counts in sorted(hits.items())]


def labelled(
    trained: TrainedModel, inputs: Inputs, batch_size: int
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield x (B, D), codes (B, K) and labels (B,), batch by batch."""
    for batch in inputs.batches(batch_size, trained.device, "Codes for probes"):
        x = batch.pair.x
        if None in batch.labels:
            raise NotDefined("the data have no labels, from which probes learn.")
        yield array(x.flatten(1)), array(trained.model.code(x)), batch.pair.y.cpu().numpy()


def features_of(x: Array, z: Array, seed: int) -> dict[str, Features]:
    """What classifiers are given: the codes, the raw elements, and as many principal components."""
    from sklearn.decomposition import PCA

    K = min(z.shape[1], *x.shape)
    pca = PCA(
        K,
        svd_solver="covariance_eigh" if x.shape[1] <= 4096 else "randomized",
        random_state=seed_of(seed),
    ).fit(x)
    return {"code": lambda x, z: z, "raw": lambda x, z: x, "pca": lambda x, z: pca.transform(x)}


def drawn(y: Array, seed: int) -> dict[int, list[Array]]:
    """The rows to learn from by how many they are: all, and draws of few with every class."""
    rows: dict[int, list[Array]] = {}
    for n in FEW:
        if n < len(y):
            rows[n] = [of_every_class(y, n, seed_of(seed, n, i)) for i in range(DRAWS)]
    return rows | {len(y): [np.arange(len(y))]}


def of_every_class(y: Array, n: int, seed: int) -> Array:
    """Draw n rows at random, with each class as often as in all, and at least once."""
    order = np.random.default_rng(seed).permutation(len(y))
    _, once = np.unique(y[order], return_index=True)
    chosen = np.concatenate([order[once], np.delete(order, once)])
    return chosen[: max(n, len(once))]


def logistic(features: Array, y: Array) -> Any:
    """Fit logistic regression on standardised features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # its accuracy has converged long before
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS))
        return model.fit(features, y)


def neighbours(features: Array, y: Array) -> Any:
    """Fit k-nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(min(NEIGHBOURS, len(y))).fit(features, y)


FITS: Final = {"logistic": logistic, "knn": neighbours}


def accuracy(kind: str, n: int, name: str, hits: list[int], of: int, most: int) -> Figure:
    """The share of the examples that probes got right, with its interval."""
    if n >= most:
        return share(f"{kind}_{name}_all", hits[0], of, f"{n:,} labels")
    shares = [hit / of for hit in hits]
    error, note = stdev(shares) / len(shares) ** 0.5, f"{n:,} labels, {len(hits)} draws"
    return Figure(f"{kind}_{name}_{n}", mean(shares), "", error, student(shares), note)


def share(name: str, hits: int, n: int, note: str) -> Figure:
    """A share of n examples, with its standard error and Wilson's interval."""
    p = hits / n
    return Figure(name, p, "", (p * (1 - p) / n) ** 0.5, wilson(hits, n), note)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927).

    >>> [round(end, 3) for end in wilson(90, 100)]
    [0.826, 0.945]
    """
    p, z = hits / n, Z95
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


def student(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of a mean of few values (Student, 1908)."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half
