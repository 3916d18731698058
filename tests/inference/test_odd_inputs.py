"""Odd things that users name: each ends in a result or in one sentence, never in a traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_lightning.cli.main import main
from ae_lightning.inference.image_writing import write_image
from helpers.attack import one_sentence


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image(file: str, side: int = 8) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((side, side), 99, np.uint8)).save(file)


REFUSED = {
    "a split of one file": (["encode", "one.png", "--split", "test"], "one.png is one file"),
    "a split by its path": (["encode", "mnist/tset"], "did you mean mnist with split test?"),
    "a folder by a wrong name": (["encode", "scan"], "did you mean scans?"),
    "a file by a wrong name": (["encode", "scans/b.png"], "did you mean scans/a.png?"),
    "an empty folder": (["encode", "empty"], "empty holds no images."),
    "a pipe": (["encode", "pipe"], "pipe is a pipe: expected a file."),
    "no seed": (["sample", "-n", "1", "--seed", "-1"], "seed is -1: expected at least 0."),
    "no false alarms": (
        ["detect", "digits", "--calibrate", "digits", "--false_alarms", "0"],
        "false_alarms is 0.0: expected a share above 0 and below 1.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_sentence(
    case: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image("one.png")
    image("scans/a.png")
    Path("empty").mkdir()
    os.mkfifo("pipe")
    (command, *args), said = REFUSED[case]
    out = "samples" if command == "sample" else "out.csv"
    assert main([command, str(run), *args, "--out", out]) == 2
    assert said in one_sentence(capsys.readouterr().err)
    assert not Path(out).exists()


@pytest.mark.parametrize("command", [["encode"], ["reconstruct"], ["sample", "-n", "1"]])
def test_a_place_that_takes_no_file_is_named_before_the_work_begins(
    command: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix = ".csv" if command == ["encode"] else ""
    for model in (str(run), "nowhere"):
        assert main([command[0], model, *command[1:], "--out", f"/proc/x{suffix}"]) == 2
        said = one_sentence(capsys.readouterr().err)
        assert said.startswith(f"out is /proc/x{suffix}: nothing can be written there (")
        assert "partial" not in said


@pytest.mark.parametrize("out", ["a.png", "a.csv", "a.NPZ", "a.NPY", "a.jpg"])
def test_a_folder_has_no_name_of_a_file(
    out: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["reconstruct", str(run)], ["sample", str(run)]):
        assert main([*command, "--out", out]) == 2
        said = one_sentence(capsys.readouterr().err)
        assert said == f"out is {out}: expected the name of a folder, or of a .npy file."


def test_images_keep_any_name_that_a_file_system_takes(run: Path) -> None:
    names = [
        "12:30:00.png",
        "my scan \u56fe \u00e9.png",
        "a\\b.png",
        "n" * 230 + ".png",
        "x/\ty.png",
    ]
    for name in names:
        image(f"scans/{name}")
    assert main(["reconstruct", str(run), "scans", "--out", "copies"]) == 0
    written = {path.relative_to("copies").as_posix() for path in Path("copies").rglob("*.png")}
    assert written == set(names)


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "a/../../b.png"])
def test_no_name_leads_out_of_the_folder(name: str, here: Path) -> None:
    (here / "out").mkdir()
    with pytest.raises(ValueError, match="leads elsewhere"):
        write_image(here / "out", name, np.zeros((1, 2, 2)))
    assert list(here.rglob("*.png")) == []


def test_a_batch_may_be_larger_than_any_data(run: Path) -> None:
    for size in ("50", str(10**30)):
        asked = ["--split", "test", "--batch_size", size, "--out", f"{len(size)}.npz"]
        assert main(["encode", str(run), *asked]) == 0
    few, all_at_once = (np.load(f"{n}.npz")["code"] for n in (2, 31))
    np.testing.assert_allclose(few, all_at_once, atol=1e-6)


def test_one_example_is_measured(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--only", "reconstruction,sparsity", "--limit", "1", "--json"]
    assert main(["evaluate", str(run), *asked]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)["figures"]
    assert found["reconstruction"]["mse"]["value"] > 0
    assert "explained_variance" not in found["sparsity"]


def test_one_image_is_counted_in_the_singular(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image("one.png")
    assert main(["reconstruct", str(run), "one.png", "--out", "copy"]) == 0
    assert capsys.readouterr().out == "copy: 1 image\n"
    assert main(["sample", str(run), "-n", "1", "--out", "samples"]) == 0
    assert capsys.readouterr().out.startswith("samples: 1 sample by prior")


def test_ctrl_c_says_what_is_kept(run: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from ae_lightning.inference import inputs\n"
        "from ae_lightning.cli.main import main\n"
        "def batches(self, *args, **options):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    yield\n"
        "inputs.Inputs.batches = batches\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "encode", str(run), "--out", "codes.csv"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 128 + signal.SIGINT
    said = one_sentence(ended.stderr)
    assert said == "interrupted: what was whole is kept, and nothing is half written."
    assert list(Path().iterdir()) == []


def test_a_name_that_is_not_unicode_stands_in_a_table_as_escapes(run: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    image(f"scans/{name}")
    for out in ("a.csv", "a.npz", "a.parquet"):
        assert main(["encode", str(run), "scans", "--out", out]) == 0
    assert "\\udcff.png" in Path("a.csv").read_text(encoding="utf-8")
    assert main(["reconstruct", str(run), "scans", "--out", "r"]) == 0


def test_two_images_that_would_become_one_file_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image("scans/a.png")
    Path("scans/a").write_bytes(Path("scans/a.png").read_bytes())
    assert main(["reconstruct", str(run), "scans", "--out", "r"]) == 2
    assert "two images become a.png: rename one of them." in one_sentence(capsys.readouterr().err)
    assert not Path("r").exists()
