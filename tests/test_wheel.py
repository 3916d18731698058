"""What is installed: one top-level name, the shipped configs, imports from a clean directory."""

import shutil
import zipfile
from pathlib import Path

import pytest

import ae_lightning
from ae_lightning.core.config_files import shipped, shipped_sweeps
from helpers.interpreter import python

ROOT = Path(ae_lightning.__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "ae_lightning", "datamodules", "callbacks")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of a copy, so that nothing is left in the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
        elif (ROOT / name).exists():
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    python(*build, str(folder / "source"), folder=folder)
    (built,) = folder.glob("*.whl")
    return built


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_one_top_level_name(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in files(wheel)}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"ae_lightning"}


def test_every_shipped_config_is_in_it(wheel: Path) -> None:
    assert {f"ae_lightning/configs/{name}.yaml" for name in shipped()} <= files(wheel)
    sweeps = {f"ae_lightning/configs/sweeps/{name}.yaml" for name in shipped_sweeps()}
    assert sweeps
    assert sweeps <= files(wheel)


def test_every_template_of_a_page_is_in_it(wheel: Path) -> None:
    templates = {file.name for file in (ROOT / "callbacks/report/templates").iterdir()}
    assert templates
    assert {f"ae_lightning/callbacks/report/templates/{name}" for name in templates} <= files(wheel)


def test_the_pictures_of_the_readme_are_not_in_it(wheel: Path) -> None:
    assert not [name for name in files(wheel) if "gallery" in name or name.endswith(".png")]


def test_the_license_is_in_it(wheel: Path) -> None:
    (name,) = [name for name in files(wheel) if name.endswith(".dist-info/licenses/LICENSE")]
    with zipfile.ZipFile(wheel) as archive:
        assert b"Apache License" in archive.read(name)


def test_every_module_is_in_it(wheel: Path) -> None:
    for package in ("ae_lightning", "datamodules", "callbacks"):
        inside = package if package == "ae_lightning" else f"ae_lightning/{package}"
        for file in (ROOT / package).rglob("*.py"):
            assert f"{inside}/{file.relative_to(ROOT / package).as_posix()}" in files(wheel)


def test_it_works_from_a_clean_directory(wheel: Path, tmp_path: Path) -> None:
    """Unpacked and first on the path, it is what is imported, with no source tree at hand."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = """
import ae_lightning, ae_lightning.callbacks, ae_lightning.datamodules
from ae_lightning.cli.main import main
for module in (ae_lightning, ae_lightning.callbacks, ae_lightning.datamodules):
    print(module.__file__)
args = ["fit", "--config", "vae", "--config", "digits", "--trainer.fast_dev_run", "true"]
print(main(args))
"""
    said = python("-c", code, folder=empty, PYTHONPATH=str(site)).splitlines()
    homes, code_of_fit = said[:3], said[-1]
    assert code_of_fit == "0"
    assert all(Path(home).is_relative_to(site) for home in homes), homes
