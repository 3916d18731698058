"""The command that finds anomalies among one's own files: what it writes, and what it refuses."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_lightning.cli.main import main
from ae_lightning.datamodules import Digits
from helpers.images import write_images


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of true digits and of noise, by class."""
    folder = tmp_path_factory.mktemp("parts") / "parts"
    write_images(folder, {"broken": 12}, mode="L")
    (folder / "good").mkdir()
    x = Digits().pairs("test", range(20)).x.mul(255).byte().numpy()
    for place, image in enumerate(x):
        Image.fromarray(image[0]).save(folder / "good" / f"{place:02}.png")
    return folder


def detected(model: Path, *args: object) -> int:
    return main(["detect", str(model), *map(str, args), "--batch_size", "9"])


CALIBRATE = ("--calibrate", "digits", "--false_alarms", "0.05")


def test_files_are_scored_and_the_worst_are_shown(
    copy: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ("--out", "s.csv", "--page", "p.html", "--maps", "maps")
    assert detected(copy, parts, *CALIBRATE, "--clean", "good", *results) == 0
    with open("s.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["path", "label", "score", "p_value", "anomaly"]
    assert len(found) == 32
    noise = [row for row in found if row["label"] == "broken"]
    assert all(row["anomaly"] == "True" for row in noise)
    flagged = {row["path"] for row in found if row["anomaly"] == "True"}
    maps = {str(f.relative_to("maps")) for f in Path("maps").rglob("*.png")}
    assert maps == {f"{path}.error.png" for path in flagged}
    page = Path("p.html").read_text()
    worst = max(found, key=lambda row: float(row["score"]))
    assert f"1. {worst['path']} (broken)" in page
    assert page.count("<li>") == 24
    assert page.count("data:image/png") == 1 + 3 * 24
    told = capsys.readouterr().out
    assert "12 of 12 true anomalies are found" in told
    assert "AUROC 1.0000 [" in told
    assert told.splitlines()[-1] == "s.csv: the scores of 32 examples"


def test_a_map_is_the_error_of_its_pixels(copy: Path, parts: Path) -> None:
    from ae_lightning.inference import load

    file = parts / "broken" / "0003.png"
    assert detected(copy, file, *CALIBRATE, "--out", "s.csv", "--maps", "maps") == 0
    x = np.asarray(Image.open(file))[None]
    error = np.abs(load(copy).reconstruct(x)[0].clip(0, 1) - x[0] / 255)
    drawn = np.asarray(Image.open("maps/0003.png.error.png")) / 255
    np.testing.assert_allclose(drawn, error, atol=0.003)


def test_training_data_calibrate_by_their_validation_set(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n = len(Digits().pairs("val", range(5)).x) and len(fitted_sets()["val"])
    assert detected(copy, "--split", "test", *CALIBRATE, "--out", "s.csv") == 0
    assert f"after this one on {n:,} " in capsys.readouterr().out
    everything = ("--calibrate_split", "train", "--force")
    assert detected(copy, "--split", "test", *CALIBRATE, *everything, "--out", "s.csv") == 0
    n = len(fitted_sets()["train"])
    told = capsys.readouterr().out
    assert f"trained on some of the calibration's {n:,} examples" in told
    assert "no rate of false alarms is promised" in told
    assert "these examples, and knows them" not in told


@pytest.mark.parametrize(("split", "said"), [("train", True), (None, True), ("test", False)])
def test_it_is_said_if_the_model_was_trained_on_what_is_tested(
    copy: Path, split: str | None, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--split", split) if split else ()
    assert detected(copy, *asked, *CALIBRATE, "--out", "s.csv") == 0
    told = capsys.readouterr().out
    assert ("the model was trained on some of these examples" in told) == said
    assert "averaged over calibrations" in told


def test_too_few_for_the_calibration_are_said_to_be_those_held_out(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--calibrate", "digits", "--false_alarms", "0.001", "--out", "s.csv")
    assert detected(copy, "--split", "test", *few) == 2
    said = capsys.readouterr().err
    assert "these are the validation set of digits, on whose others the model was trained." in said


def fitted_sets() -> dict[str, object]:
    data = Digits()
    data.setup()
    return data.sets


def test_another_data_set_is_compared_with_the_calibration(
    copy: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detected(copy, parts, *CALIBRATE, "--all_anomalous", "--out", "s.csv") == 0
    told = capsys.readouterr().out
    assert "32 anomalies against " in told
    assert "clean examples of the calibration" in told


def test_names_are_escaped_on_the_page(copy: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "d", {"<b>": 2}, mode="L")
    assert detected(copy, "d", *CALIBRATE, "--out", "s.csv", "--page", "p.html") == 0
    page = Path("p.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;/0000.png" in page


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--clean", "god"], "clean is 'god': did you mean good?"),
        (["--clean", "good", "--all_anomalous"], "clean and all_anomalous are both given"),
        (["--false_alarms", "0.0001"], "too few for a share of false alarms of 0.0001: give at"),
        (["--false_alarms", "2"], "false_alarms is 2.0: expected a share above 0 and below 1"),
        (["--score", "nromal"], "score is 'nromal': did you mean normal?"),
        (["--score", "ratio"], "name the background model by against"),
        (["--score", "error", "--against", "copy"], "score is 'error'"),
        (["--samples", "0", "--score", "bound"], "samples is 0: expected at least 1"),
        (["--calibrate", "digts"], "there are no data digts"),
        (["--calibrate_split", "vla"], "vla"),
        (["--page", "s.csv"], "s.csv is named twice"),
        (["--maps", "nowhere/maps"], "there is no folder nowhere"),
        (["--out", "s.txt"], "out is s.txt"),
        (["--against", "nothing"], "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_sentence_and_leaves_nothing(
    copy: Path, parts: Path, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detected(copy, parts, *CALIBRATE, "--out", "s.csv", *args) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert os.listdir() == ["copy"]


def test_nothing_is_replaced_unless_told(
    copy: Path, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("s.csv").write_text("mine")
    assert detected(copy, parts, *CALIBRATE, "--out", "s.csv") == 2
    assert "add --force to replace it" in capsys.readouterr().err
    assert Path("s.csv").read_text() == "mine"


def test_data_without_labels_have_no_clean_ones(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", np.zeros((3, 8, 8), np.uint8))
    assert detected(copy, "x.npy", *CALIBRATE, "--clean", "0", "--out", "s.csv") == 2
    assert "these data have no labels" in capsys.readouterr().err
