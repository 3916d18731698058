"""A file stays in its split whatever is added, and folders that look like splits are splits."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path

import pytest

from ae_lightning.datamodules import ImageFolder
from ae_lightning.datamodules.loading.splits import divide
from helpers.failures import failure
from helpers.images import write_images


def names_in(data: ImageFolder) -> dict[str, set[str]]:
    return {split: {f.name for f in files} for split, files in data.folder.files.items()}


@pytest.mark.parametrize("val_size", [None, 0.2, 0.05])
@pytest.mark.parametrize("seed", [0, 1])
def test_adding_files_and_classes_and_taking_some_away_moves_none(tmp_path, val_size, seed):
    def split_of() -> dict[str, str]:
        data = ImageFolder(folder, val_size=val_size, split_seed=seed)
        return {name: split for split, names in names_in(data).items() for name in names}

    folder = write_images(tmp_path, {"b": 60, "c": 60})
    before = split_of()
    assert set(before.values()) == {"train", "val", "test"}
    write_images(tmp_path, {"a": 20, "b/new": 20})
    (tmp_path / "0.png").write_bytes((tmp_path / "b" / "0000.png").read_bytes())
    after = split_of()
    assert len(after) == 161
    assert {name: after[name] for name in before} == before
    shutil.rmtree(tmp_path / "c")
    left = split_of()
    assert left == {name: split for name, split in after.items() if name[0] != "c"}


def test_the_share_holds_on_average_and_the_number_exactly():
    names = [f"{i}.png" for i in range(10_000)]
    for size, expected, error in ((0.1, 1000, 120), (0.3, 3000, 200), (777, 777, 0)):
        rows = dict(divide(names, ("test", "val"), size, seed=0))
        assert sorted(chain.from_iterable(rows.values())) == list(range(10_000))
        for split in ("test", "val"):
            assert abs(len(rows[split]) - expected) <= error
    other = dict(divide(names, ("test", "val"), 0.1, seed=1))
    assert set(other["test"]) != set(dict(divide(names, ("test", "val"), 0.1, seed=0))["test"])


@pytest.mark.parametrize("n", [3, 4, 9])
def test_every_split_has_one_and_another_file_takes_none_out_of_training(n):
    names = [f"{i}" for i in range(n)]
    for seed in range(50):
        few = dict(divide(names, ("test", "val"), 0.1, seed))
        more = dict(divide([*names, "another"], ("test", "val"), 0.1, seed))
        assert all(few.values())
        assert n < 9 or set(few["train"]) <= set(more["train"])


@pytest.mark.parametrize("size", [0.5, 5, 100])
def test_a_size_that_leaves_nothing_to_train_on(size, tmp_path):
    folder = write_images(tmp_path, {"": 10})
    assert failure(ImageFolder(folder, val_size=size)) == (
        f"val_size is {size}, for test and for val, which leaves nothing of 10 examples to train "
        "on."
    )


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images(tmp_path, n):
    folder = write_images(tmp_path, {"": n})
    assert failure(ImageFolder(folder)) == (
        f"{folder} holds {n} example{'s' * (n > 1)}, too few to divide: at least 3 are needed, "
        "since test and val take one each."
    )
    write_images(tmp_path / "ready", {"train": 1, "test": 1})
    assert "at least 2 are needed, since val takes one." in failure(
        ImageFolder(str(tmp_path / "ready"))
    )


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev", "Val", "VALIDATION"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "testing")])
def test_common_names_of_splits(tmp_path, train, val, test):
    counts = {f"{train}/a": 8, f"{val}/a": 3, f"{test}/a": 2}
    data = ImageFolder(write_images(tmp_path, counts))
    data.setup()
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 8, "val": 3, "test": 2}
    assert data.classes == ("a",)


def test_without_a_test_folder_the_validation_folder_is_not_trained_on(tmp_path):
    folder = write_images(tmp_path, {"train/a": 40, "train/b": 40, "val/a": 9, "val/b": 9})
    names = names_in(ImageFolder(folder))
    assert {name for name in names["val"]} == {n for n in names["val"] if n.startswith("val/")}
    assert len(names["val"]) == 18
    assert all(n.startswith("train/") for n in names["train"] | names["test"])
    assert names["train"].isdisjoint(names["test"])
    assert len(names["train"] | names["test"]) == 80
    assert ImageFolder(folder).classes == ("a", "b")


def test_a_train_folder_alone_is_a_split_and_beside_others_a_class(tmp_path):
    alone = ImageFolder(write_images(tmp_path / "alone", {"train/a": 9, "train/b": 9}))
    assert alone.classes == ("a", "b")
    vehicles = ImageFolder(write_images(tmp_path / "vehicles", {"train": 9, "bus": 9, "car": 9}))
    assert vehicles.classes == ("bus", "car", "train")
    places = {"train_depot": 9, "train_station": 9, "contest": 9, "détest": 9}
    assert len(ImageFolder(write_images(tmp_path / "places", places)).classes) == 4


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        (["train", "valid", "validation"], "holds both valid and validation, and only one can be"),
        (["train", "Train", "test"], "holds both Train and train, and only one can be the train"),
        (["train", "train_old", "test"], "train_old looks like a split, and is not one of train"),
        (["train", "test", "test-2"], "test-2 looks like a split, and is not one of train, val"),
        (["train2017", "val2017"], "train2017 looks like a split, and is not one of train, val"),
        (["trainA", "trainB", "testA", "testB"], "testA looks like a split, and is not one of"),
        (["TrainSet", "TestSet"], "TestSet looks like a split, and is not one of train, val, test"),
        (["trainset", "testset"], "testset looks like a split, and is not one of train, val"),
        (["trainval", "test"], "trainval looks like a split, and is not one of train, val, test"),
        (["train", "validate", "test"], "validate looks like a split, and is not one of train"),
        (["train", "train_masks"], "train_masks looks like a split, and is not one of train"),
        (["train", "eval"], "eval looks like a split, and is not one of train, val, test"),
        (["val", "test"], "holds test and val, and no train."),
        (["cats/train", "cats/test"], "cats holds test and train, which look like splits, and"),
        (["a/b/train", "a/b/val"], "b holds train and val, which look like splits, and only"),
        (["train/train", "train/test", "test"], "train holds test and train, which look like"),
    ],
)
def test_what_looks_like_a_split_and_is_not_used(tmp_path, folders, sentence):
    folder = write_images(tmp_path, dict.fromkeys(folders, 5))
    said = failure(ImageFolder(folder))
    assert sentence in said
    assert str(tmp_path) in said


def test_what_lies_beside_splits_is_said(tmp_path):
    folder = write_images(tmp_path, {"train": 9, "test": 3, "masks": 3})
    (tmp_path / "labels.csv").write_text("a,b")
    with pytest.warns(UserWarning, match="2 not used in .*, beside its splits: labels.csv, masks"):
        ImageFolder(folder).setup()


def test_the_number_of_files_and_workers_do_not_matter_to_names_on_other_systems(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"  # as Linux and as macOS write é
    data = []
    for name in (composed, decomposed):
        for i in range(30):
            source = write_images(tmp_path / "source", {"": 1})
            target = tmp_path / name / "images" / name / f"{i}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(source) / "0000.png", target)
        data.append(ImageFolder(str(tmp_path / name / "images")))
    assert names_in(data[0]) == names_in(data[1])
    assert data[0].classes == (composed,)


def test_a_share_of_arrays(tmp_path):
    from ae_lightning.datamodules import Manifold

    data = Manifold(size=200, val_size=0.25)
    data.setup()
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 112, "val": 38, "test": 50}
