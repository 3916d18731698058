"""Scores of disentanglement: of codes z (N, K) and known factors v (N, F), each in [0, 1].

Continuous values are put into 20 bins of equal width where a definition wants discrete ones, as in
Challenging Common Assumptions (Locatello et al., 2019). A factor of at most 20 values is discrete.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Scores = dict[str, float]

BINS: Final = 20
VOTES: Final = 500  # of the FactorVAE score, for training and as many for testing
BATCH: Final = 64  # examples a vote, of one value of one factor
COLLAPSED: Final = 0.05  # a standard deviation below this share of the largest is no code's


def discrete(values: Array) -> Array:
    """Put each column of values (N, K) into bins of equal width, unless it has few values."""
    columns = []
    for column in values.T:
        known, places = np.unique(column, return_inverse=True)
        if len(known) > BINS:
            edges = np.linspace(column.min(), column.max(), BINS + 1)[1:-1]
            places = np.digitize(column, edges)
        columns.append(places)
    return np.stack(columns, 1)


def information_of(z: Array, v: Array) -> tuple[Array, Array]:
    """Mutual information in nats of every two columns, binned: (K, F); and entropies of v (F,)."""
    from sklearn.metrics import mutual_info_score

    z, v = discrete(z), discrete(v)
    found = [[mutual_info_score(f, c) for f in v.T] for c in z.T]
    return np.array(found), np.array([mutual_info_score(f, f) for f in v.T])


def two_largest(values: Array) -> tuple[Array, Array]:
    """The largest and the second largest of each column (K, F); 0 is the second of one alone."""
    padded = np.concatenate([values, np.zeros((1, values.shape[1]))]) if len(values) < 2 else values
    ordered = np.sort(padded, axis=0)
    return ordered[-1], ordered[-2]


def mig(z: Array, v: Array, seed: int = 0) -> Scores:
    r"""Mutual information gap: the mean over factors of (I(z_j; v) − I(z_j'; v))/H(v).

    j and j' are the elements of the code that tell most and second most of the factor.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
    """
    information, entropy = information_of(z, v)
    first, second = two_largest(information)
    return {"mig": float(((first - second) / entropy)[entropy > 0].mean())}


def modularity(z: Array, v: Array, seed: int = 0) -> Scores:
    r"""Modularity: the mean over elements of 1 − Σ_{f ≠ f*} I(z_j; v_f)²/(I(z_j; v_f*)² (F − 1)).

    f* is the factor that an element tells most of; one that tells nothing counts 0.

    References:
        | Learning Deep Disentangled Embeddings with the F-Statistic Loss (Ridgeway and Mozer, 2018)
    """
    squares = information_of(z, v)[0] ** 2
    largest = squares.max(1)
    others = squares.sum(1) - largest
    told = largest > 1e-12
    shares = others[told] / (largest[told] * max(1, squares.shape[1] - 1))
    return {"modularity": float((1 - shares).sum() / len(squares))}


def sap(z: Array, v: Array, seed: int = 0) -> Scores:
    r"""Separated attribute predictability: the mean gap of the two best single elements.

    An element predicts a continuous factor by the R² of a linear regression, and a discrete one by
    the balanced accuracy of a linear support vector machine, each on its own.

    References:
        | Variational Inference of Disentangled Latent Concepts (Kumar et al., 2018)
    """
    found = np.zeros((z.shape[1], v.shape[1]))
    for f, factor in enumerate(v.T):
        of = accuracy_of if len(np.unique(factor)) <= BINS else squared_correlation
        found[:, f] = [of(element, factor) for element in z.T]
    first, second = two_largest(found)
    return {"sap": float((first - second).mean())}


def squared_correlation(element: Array, factor: Array) -> float:
    """R² of a linear regression of a factor on one element."""
    if element.std() < 1e-12 or factor.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(element, factor)[0, 1] ** 2)


def accuracy_of(element: Array, factor: Array) -> float:
    """Balanced accuracy, on a held-out half, of a linear support vector machine on one element."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import LinearSVC

    half, scale = len(element) // 2, max(element.std(), 1e-12)
    x = ((element - element.mean()) / scale)[:, None]
    machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    machine.fit(x[:half], factor[:half])
    return float(balanced_accuracy_score(factor[half:], machine.predict(x[half:])))


def dci(z: Array, v: Array, seed: int = 0) -> Scores:
    r"""Disentanglement, completeness and informativeness.

    With R_jf the importance of element j in predicting factor f by a random forest,
    P_jf = R_jf/Σ_f R_jf and P̃_jf = R_jf/Σ_j R_jf: disentanglement is Σ_j ρ_j (1 − H_F(P_j·)) with
    ρ_j = Σ_f R_jf/ΣR, completeness the mean over factors of 1 − H_K(P̃_·f), with entropies to the
    base of how many they range over; informativeness is the accuracy on a held-out half, factors
    being binned (Locatello et al., 2019).

    References:
        | A Framework for the Quantitative Evaluation of Disentangled Representations
        | (Eastwood and Williams, 2018)
    """
    from sklearn.ensemble import RandomForestClassifier

    factors, half, R, right = discrete(v), len(z) // 2, [], []
    for factor in factors.T:
        forest = RandomForestClassifier(
            50, min_samples_leaf=2, max_features=None, random_state=seed, n_jobs=1
        )
        forest.fit(z[:half], factor[:half])
        R.append(forest.feature_importances_)
        right.append(forest.score(z[half:], factor[half:]))
    importance = np.stack(R, 1)  # (K, F)
    weights = importance.sum(1) / max(importance.sum(), 1e-12)
    return {
        "dci_disentanglement": float((weights * (1 - entropy(importance))).sum()),
        "dci_completeness": float((1 - entropy(importance.T)).mean()),
        "dci_informativeness": float(np.mean(right)),
    }


def entropy(rows: Array) -> Array:
    """The entropy of each row of weights (A, B), as shares, to the base B; of no weight, 1."""
    total = rows.sum(1, keepdims=True)
    P = np.where(total > 0, rows / np.maximum(total, 1e-300), 1 / rows.shape[1])
    logs = np.log(np.maximum(P, 1e-300))
    found: Array = -(P * logs).sum(1) / max(np.log(rows.shape[1]), 1e-12)
    return found


def factor_vae(z: Array, v: Array, seed: int = 0) -> Scores:
    r"""The FactorVAE score: the accuracy of the majority vote that names the factor held fixed.

    A vote takes examples that share the (binned) value of one factor, and names the element of the
    code with the smallest variance among them, relative to that among all; elements that hardly
    vary at all are left out.

    References:
        | Disentangling by Factorising (Kim and Mnih, 2018)
    """
    rng, factors = np.random.default_rng(seed), discrete(v)
    variance = z.var(0)
    used = np.flatnonzero(variance > COLLAPSED**2 * variance.max())
    places = [
        [rows for value in np.unique(f) if len(rows := np.flatnonzero(f == value)) > 1]
        for f in factors.T
    ]
    votes = np.zeros((2, z.shape[1], v.shape[1]))
    for half in range(2):
        for _ in range(VOTES):
            f = rng.integers(v.shape[1])
            rows = rng.choice(places[f][rng.integers(len(places[f]))], BATCH)
            j = used[np.argmin(z[rows][:, used].var(0) / variance[used])]
            votes[half, j, f] += 1
    named = votes[0].argmax(1)
    return {"factor_vae": float(votes[1][np.arange(len(named)), named].sum() / VOTES)}


SCORES: Final[tuple[Callable[[Array, Array, int], Scores], ...]] = (
    mig,
    dci,
    sap,
    factor_vae,
    modularity,
)
