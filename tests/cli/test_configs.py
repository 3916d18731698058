"""Configs: what is shipped, how they are found, and how they add up."""

from pathlib import Path

import pytest

from ae_lightning.cli.composition import compose, merge, same_class
from ae_lightning.cli.presets import with_defaults
from ae_lightning.core.config_files import kind_and_purpose, read, shipped
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import locate

SYSTEMS = [
    "linear",
    "undercomplete",
    "sparse",
    "contractive",
    "denoising",
    "stochastic",
    "vae",
    "iwae",
]
RECIPES = [
    "recipes/burda_iwae",
    "recipes/burda_vae",
    "recipes/cifar10_vae",
    "recipes/deep_autoencoder",
    "recipes/denoise_cifar10",
    "recipes/denoise_mnist",
    "recipes/features_ae",
    "recipes/features_cae",
    "recipes/features_dae",
    "recipes/features_sparse",
    "recipes/pca",
    "recipes/photographs",
    "recipes/score",
    "recipes/sprites_beta_tc",
    "recipes/sprites_beta_vae",
    "recipes/sprites_vae",
]
EXTRAS = ["conv", "resnet", "score", "wandb", "ddp", "fsdp"]
DATA = ["digits", "mnist", "fashion_mnist", "cifar10", "folder", "stream", "manifold", "sprites"]


def test_the_names_of_the_shipped_configs() -> None:
    assert set(shipped()) == {*SYSTEMS, *DATA, *EXTRAS, *RECIPES}


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_config_says_what_it_is_in_its_first_line(name: str) -> None:
    kind, text = kind_and_purpose(shipped()[name])
    kinds = {"system": SYSTEMS, "data": DATA, "recipe": RECIPES}
    expected = next((k for k, names in kinds.items() if name in names), kind)
    assert (kind, kind in (*kinds, "networks", "extra")) == (expected, True)
    assert 20 < len(text) < 90


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_whole_experiment(name: str) -> None:
    recipe = read(name)
    assert recipe.keys() == {"model", "data", "trainer"}
    assert all("class_path" in recipe[part] for part in ("model", "data"))
    assert recipe["trainer"]["max_epochs"] > 0


def classes(tree: object) -> list[str]:
    if isinstance(tree, dict):
        own = [tree["class_path"]] if "class_path" in tree else []
        return own + [c for node in tree.values() for c in classes(node)]
    return [c for node in tree for c in classes(node)] if isinstance(tree, list) else []


@pytest.mark.parametrize("name", shipped())
def test_every_class_of_a_shipped_config_is_there(name: str) -> None:
    assert all(isinstance(locate(path), type) for path in classes(read(name)))


def test_penalties_of_two_configs_add_up() -> None:
    one = {"model": {"class_path": "A", "init_args": {"regularizers": {"a": {"class_path": "X"}}}}}
    two = {"model": {"init_args": {"regularizers": {"b": {"class_path": "Y"}}, "latent": 2}}}
    assert compose([one, two]) == {
        "model": {
            "class_path": "A",
            "init_args": {
                "regularizers": {"a": {"class_path": "X"}, "b": {"class_path": "Y"}},
                "latent": 2,
            },
        }
    }


def test_a_changed_class_keeps_what_was_given_if_it_takes_it_and_no_defaults() -> None:
    mlp = {"encoder": {"class_path": "MLP", "init_args": {"widths": [8], "activation": "ReLU"}}}
    conv = {"encoder": {"class_path": "ae_lightning.nn.ConvEncoder"}}
    assert merge(mlp, conv, carry=False) == conv
    assert merge(mlp, conv) == {"encoder": conv["encoder"] | {"init_args": {"activation": "ReLU"}}}
    assert merge({"init_args": {"x": 1}}, {"class_path": "A"}) == {
        "init_args": {"x": 1},
        "class_path": "A",
    }


def test_no_config_is_dropped_for_the_system_after_it() -> None:
    composed = compose(read(name) for name in ("vae", "conv", "iwae", "digits"))
    assert composed == compose(read(name) for name in ("iwae", "conv", "digits"))


def test_the_last_value_wins_and_nothing_given_is_changed() -> None:
    base, over = {"a": {"x": 1, "y": [1, 2]}}, {"a": {"y": [3]}}
    assert merge(base, over) == {"a": {"x": 1, "y": [3]}}
    assert (base, over) == ({"a": {"x": 1, "y": [1, 2]}}, {"a": {"y": [3]}})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ae_lightning.regularizers.L1", "ae_lightning.regularizers.sparsity.L1", True),
        ("L1", "ae_lightning.regularizers.sparsity.L1", True),
        ("ae_lightning.regularizers.L1", "ae_lightning.regularizers.L2", False),
        ("ae_lightning.regularizers.L1", "my_lab.L1", False),
    ],
)
def test_a_class_is_the_same_by_any_path(one: str, other: str, same: bool) -> None:
    assert same_class(one, other) is same


def test_a_local_file_wins_over_a_shipped_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read("digits")["data"]["class_path"] == "ae_lightning.datamodules.Digits"
    Path("digits").write_text("trainer: {max_epochs: 3}")
    assert read("digits") == {"trainer": {"max_epochs": 3}}


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "0.001"])
def test_numbers_are_read_as_python_reads_them(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"lr: {text}")
    assert read(str(file)) == {"lr": 0.001}


def test_an_empty_config_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert read(str(tmp_path / "empty.yaml")) == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"model: [1,\n  - a: b: c", "line 2 is not YAML"),
        (b"- 1\n- 2", "is a list: expected names with values"),
        (b"\xff\xfe\x00", "cannot be read|is not YAML"),
        (b"a: \x00", "is not YAML"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=sentence) as error:
        read(str(file))
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "right"), [("vea", "vae"), ("mnits", "mnist"), ("digit", "digits")]
)
def test_an_unknown_config_is_answered_with_the_nearest(name: str, right: str) -> None:
    with pytest.raises(UsageError, match=rf"there is no config {name}.*did you mean {right}\?"):
        read(name)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_systems_config_is_its_class_and_its_parts_are_below_it(name: str) -> None:
    assert read(name)["model"].keys() == {"class_path"}
    optimizer = with_defaults(read(name), [])["model"]["init_args"]["optimizer"]
    assert optimizer["init_args"]["lr"] == 3e-3


def test_a_part_is_changed_without_its_class_being_named() -> None:
    model = {"class_path": "VariationalAutoEncoder", "init_args": {"encoder": {"init_args": {}}}}
    model["init_args"]["encoder"]["init_args"] = {"widths": [8]}
    encoder = with_defaults({"model": model}, [])["model"]["init_args"]["encoder"]
    assert encoder["class_path"].endswith("MLP")
    assert encoder["init_args"]["widths"] == [8]


def test_the_schedule_is_written_out_only_if_asked_for() -> None:
    """It spans the whole training, which is an error if that has no end."""
    bare = with_defaults(read("vae"), [])["model"]["init_args"]
    asked = with_defaults(read("vae"), ["--model.lr_schedule.epochs=3"])["model"]["init_args"]
    assert "lr_schedule" not in bare
    assert asked["lr_schedule"]["class_path"].endswith("OneCycle")
