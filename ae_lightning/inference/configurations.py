"""What a training was asked for, and in what several differ."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ae_lightning.core.fingerprints import Fingerprint, digest_of
from ae_lightning.core.untrusted import conform
from ae_lightning.training.checkpoint_schema import DATA, MODEL, PARTS, RUN_CONFIG

# What of a trainer changes the weights; the rest says where, and what is shown.
TRAINER: Final = (
    *("max_epochs", "max_steps", "max_time", "precision", "accumulate_grad_batches"),
    *("gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches", "overfit_batches"),
)
SEEDS: Final = ("seed", "seed_everything")
# What of data says how they are read, and changes none of them.
READ: Final = (
    *("batch_size", "num_workers", "in_memory", "root", "download"),
    *("window", "max_cache_size", "cache_dir"),
)

Flat = dict[str, Any]


def configuration_of(checkpoint: Mapping[str, Any]) -> tuple[Flat, int]:
    """What a checkpoint's training was asked for, by dotted names without its seeds; its seed.

    Raises:
        UsageError: if that is no number.
    """
    model = checkpoint.get(MODEL) or checkpoint[PARTS]  # a folder of weights has the latter alone
    trainer = (checkpoint.get(RUN_CONFIG) or {}).get("trainer", {})
    tree = {
        "model": model,
        "data": checkpoint.get(DATA) or {},
        "trainer": {name: trainer.get(name) for name in TRAINER},
    }
    seed = conform(int, model["init_args"].get("seed", 0), "the model's seed")
    return {k: v for k, v in flat(tree).items() if k.rpartition(".")[2] not in SEEDS}, seed


def digest_of_validation(checkpoint: Mapping[str, Any], fingerprint: Fingerprint | None) -> str:
    """Return a digest of what the figures of a validation are of: x̃, x and their shape.

    Args:
        fingerprint: of the data, if the checkpoint has one.
    """
    aside = READ if fingerprint is None else (*READ, "path")
    told = {
        name: value
        for name, value in configuration_of(checkpoint)[0].items()
        if name in ("data", "model.shape")
        or (name.startswith("data.") and name.split(".")[1] not in aside)
    }
    texts = json.loads(json.dumps([told, fingerprint], default=str))  # keys, which may be numbers
    return digest_of([json.dumps(texts, sort_keys=True)])


def flat(tree: Any, name: str = "") -> Flat:
    """Plain values by dotted names.

    >>> flat({"model": {"class_path": "VAE", "init_args": {"latent": 2, "shape": [1, 8]}}})
    {'model': 'VAE', 'model.latent': 2, 'model.shape': [1, 8]}
    """
    if not isinstance(tree, Mapping):
        return {name: tree}
    found: Flat = {}
    for key, value in tree.items():
        part = "" if key in ("init_args", "class_path") else str(key)
        found |= flat(value, ".".join(filter(None, [name, part])))
    return found


def differences(configurations: Iterable[Flat]) -> dict[str, list[Any]]:
    """Return what is not the same in all, by name: the value in each, None where it is not there.

    >>> differences([{"model.latent": 2, "data": "MNIST"}, {"model.latent": 8, "data": "MNIST"}])
    {'model.latent': [2, 8]}
    """
    each = list(configurations)
    names = dict.fromkeys(name for one in each for name in one)
    values = {name: [one.get(name) for one in each] for name in names}
    return {name: row for name, row in values.items() if any(v != row[0] for v in row)}
