"""What the machine does to a command costs one sentence, or nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ae_lightning.core.printing import use_streams
from helpers.attack import one_sentence

COMMAND = [sys.executable, "-m", "ae_lightning"]
# None of it is any reason not to train.
ODD = {
    **{"PYTHONWARNINGS": "error", "MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/proc/nope"},
    **{"COLUMNS": "0", "TERM": "dumb", "NO_COLOR": "1", "HOME": "/proc/nope", "TMPDIR": "/nope"},
    **{"LANG": "C", "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "nonsense", "TZ": "nonsense"},
}
FIT = ("fit", "--config", "vae", "--config", "digits", "--trainer.max_epochs", "1")
PICTURE = ("--trainer.callbacks", "Report", "--trainer.callbacks.names", "[reconstructions]")


def shell(
    line: str, *arguments: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that does something to it before."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_may_be_closed(closed: str, tmp_path: Path) -> None:
    done = shell(f'"$@" {closed}', "configs", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("vae" in done.stdout) is (">&-" not in closed.replace("2>&-", ""))
    assert shell(f'"$@" {closed}', "cnfigs", folder=tmp_path).returncode == 2


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """Or what C libraries print would be written into it."""
    code = f"from {use_streams.__module__} import use_streams; use_streams(); "
    opened = "import os, sys; os.write(1, b''); sys.exit(open('file', 'w').fileno())"
    done = shell(f'{sys.executable} -c "$4" <&- >&- 2>&-', code + opened, folder=tmp_path)
    assert done.returncode > 2


def test_a_full_disk_for_what_is_printed_is_one_sentence(tmp_path: Path) -> None:
    done = shell('"$@" > /dev/full', "configs", folder=tmp_path)
    assert done.returncode == 1
    assert "cannot be written: No space left" in one_sentence(done.stderr)
    assert shell('"$@" 2> /dev/full', "cnfigs", folder=tmp_path).returncode == 2


def test_a_directory_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    done = shell('mkdir here; cd here; rmdir ../here; "$@"', "configs", folder=tmp_path)
    assert done.returncode == 2
    assert "the working directory is gone" in one_sentence(done.stderr)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE"])
def test_a_launcher_that_tells_no_number_is_one_sentence(name: str, tmp_path: Path) -> None:
    done = shell('"$@"', *FIT, folder=tmp_path, **{name: "x"})
    assert done.returncode == 2
    assert f"{name} is x" in one_sentence(done.stderr)


def test_too_little_memory_to_begin_is_one_sentence(tmp_path: Path) -> None:
    done = shell('ulimit -v 1500000; "$@"', *FIT, folder=tmp_path)
    assert done.returncode == 2
    one_sentence(done.stderr)
    assert not list(tmp_path.iterdir())


def test_a_machine_on_which_everything_is_odd_trains_all_the_same(tmp_path: Path) -> None:
    done = shell('"$@" <&-', *FIT, *PICTURE, "--run", "größe", folder=tmp_path, **ODD)
    assert done.returncode == 0, done.stderr
    assert "gr\\xf6\\xdfe/index.html" in done.stdout
    assert list((tmp_path / "größe/pictures/reconstructions").glob("*.png"))
    assert "Traceback" not in done.stderr
