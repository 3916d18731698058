"""What a preset takes for photographs in place of its own parts, as far as nothing else is said."""

from collections.abc import Mapping
from typing import Any, Final

from ae_lightning.cli.classes import class_named
from ae_lightning.cli.composition import Tree
from ae_lightning.cli.options import Option
from ae_lightning.core.arguments import parameters_of
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP, ResidualDecoder, ResidualEncoder

NETWORKS: Final = {"encoder": ResidualEncoder, "decoder": ResidualDecoder}
SIGMA: Final = 0.25  # of photographs about their mean image; what is learned begins there


def suited(defaults: Tree, tree: Tree, given: Mapping[str, Any], options: list[Option]) -> Tree:
    """Return a preset's default parts, or those for photographs if the data are such.

    The networks are for presets whose own are MLPs with hidden layers. They stay MLPs if configs or
    flags name the class of either, or set an argument that only an MLP takes. The code keeps its
    place unless its size is given, which need not be one that it can be laid out in.

    On any data, the encoder settles the size of a code that `spatial` puts in place, if none is
    given.

    Args:
        defaults: the preset's parts, as records by name.
        tree: the configs, which say what the data are.
        given: what configs say of the model's arguments.
        options: what flags say of it.
    """
    data = tree.get("data")
    kind = class_named(data.get("class_path")) if isinstance(data, Mapping) else None
    paths = [option.path[1:] for option in options if option.path[:1] == ["model"]]
    fits = all(
        is_deep(defaults.get(name)) and takes(network, name, given.get(name), paths)
        for name, network in NETWORKS.items()
    )
    sized = "latent" in given or ["latent"] in paths
    if not sized and "spatial" in named("encoder", given.get("encoder"), paths):
        defaults = {name: part for name, part in defaults.items() if name != "latent"}
    if not (getattr(kind, "photographs", False) and fits):
        return defaults
    encoder, decoder = ResidualEncoder(spatial=not sized), ResidualDecoder()
    chosen = defaults | {"encoder": encoder.record, "decoder": decoder.record}
    if defaults["likelihood"]["class_path"] == Gaussian().record["class_path"]:
        chosen["likelihood"] = Gaussian(SIGMA, learned=True).record
    if not sized:
        chosen.pop("latent", None)  # the grid says how many there are
    return chosen


def is_deep(record: Any) -> bool:
    """Whether a default part is an MLP with hidden layers."""
    return (
        isinstance(record, Mapping)
        and record["class_path"] == MLP().record["class_path"]
        and bool(record["init_args"]["widths"])
    )


def takes(kind: type, name: str, given: Any, paths: list[list[str]]) -> bool:
    """Whether a class takes all that is said of a part, which names no class itself."""
    classless = given is None or (isinstance(given, Mapping) and "class_path" not in given)
    arguments = named(name, given, paths)
    return classless and [name] not in paths and arguments <= {*parameters_of(kind)}


def named(name: str, given: Any, paths: list[list[str]]) -> set[str]:
    """The arguments of a part that configs or flags set."""
    record = given.get("init_args") if isinstance(given, Mapping) else None
    flags = {path[1] for path in paths if path[:1] == [name] and path[1:]}
    return {*(record if isinstance(record, Mapping) else ()), *flags}
