"""Densities of codes: what they draw is like what they were fitted to, and what is kept of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import sha256_of
from ae_lightning.inference import densities, load, sample
from ae_lightning.inference.densities import KINDS, Density, Mixture
from ae_lightning.inference.density_files import density_of
from helpers.attack import harmless, watched


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(densities, "STEPS", 100)


def correlated(n: int = 2000) -> Tensor:
    """Codes (n, 4): two that go together, a rectified one, and one that is always 2."""
    a, b, c = torch.randn(3, n)
    return torch.stack([3 + a, 5 * a + b, c.relu(), torch.full((n,), 2.0)], dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments_and_the_box_of_the_codes(kind: str) -> None:
    z, state = correlated(), torch.get_rng_state()
    density = KINDS[kind].fitted(z)
    y = density.draw(4000)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(y, density.draw(4000))
    assert torch.equal(y, KINDS[kind].fitted(z).draw(4000))
    assert ((y.mean(0) - z.mean(0)).abs() <= 0.2 * z.std(0)).all()
    assert float(y.T[:2].corrcoef()[0, 1]) > 0.9
    torch.testing.assert_close(y.std(0), z.std(0), atol=0, rtol=0.3)
    assert (y[:, 3] == 2).all()
    assert ((z.amin(0) <= y) & (y <= z.amax(0))).all()


def test_the_criterion_finds_the_number_of_gaussians() -> None:
    centres = 10 * torch.eye(4)
    c = torch.arange(2000) % 8 // 2 * (torch.arange(2000) % 8 != 7)  # 0 has 3 of 8, 3 has 1
    mixture = Mixture.fitted(centres[c] + torch.randn(2000, 4))
    assert len(mixture.logits) == 4
    nearest = torch.cdist(mixture.draw(8000), centres).argmin(1)
    shares = nearest.bincount(minlength=4) / 8000
    torch.testing.assert_close(shares, torch.tensor([3, 2, 2, 1]) / 8, atol=0.02, rtol=0)


def test_many_dimensions_are_drawn_along_their_principal_axes() -> None:
    z = torch.randn(3000, 40) @ torch.randn(40, 40) + 1
    y = Mixture.fitted(z).draw(20_000)
    assert (y.T.cov() - z.T.cov()).norm() < 0.15 * z.T.cov().norm()


@pytest.fixture
def own(of_photographs: Path, tmp_path: Path) -> Path:
    """A run that may be changed, and its mixture."""
    shutil.copytree(of_photographs, tmp_path / "run")
    sample(tmp_path / "run", n=1)
    return tmp_path / "run"


def file_of(run: Path) -> Path:
    return run / "checkpoints" / "best.mixture.npz"


def test_a_density_is_fitted_once_for_a_checkpoint(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = sample(own, n=3)
    with np.load(file_of(own), allow_pickle=False) as found:
        assert {"header", "means", "factors", "logits"} <= set(found)
        assert sha256_of(own / "checkpoints" / "best.ckpt") in str(found["header"])

    fitted = list[int]()

    def count(kind: type[Density], z: Tensor, seed: int = 0) -> Density:
        fitted.append(len(z))
        return of(z, seed)

    of = Mixture.fitted
    monkeypatch.setattr(Mixture, "fitted", classmethod(count))
    np.testing.assert_allclose(sample(own, n=3), x, atol=1e-6)
    assert fitted == []
    # Named data are fitted to each time, since they may change; so is another checkpoint, once.
    sample(own, *[str(load(own).data["init_args"]["path"])], n=1)  # type: ignore[index]
    assert fitted == [24]
    header = str(np.load(file_of(own))["header"])
    former = header.replace(sha256_of(own / "checkpoints" / "best.ckpt"), "0" * 64)
    rewritten(lambda arrays: arrays.update(header=np.array(former)))(file_of(own))
    np.testing.assert_allclose(sample(own, n=3), x, atol=1e-6)
    assert fitted[1:] == [20]
    assert str(np.load(file_of(own))["header"]) == header


def rewritten(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:
    """A damage that writes other arrays."""

    def write(file: Path) -> None:
        with np.load(file) as found:
            arrays = dict(found)
        change(arrays)
        np.savez(file, **arrays)

    return write


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


class Harmful:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch harm",)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]) and None,
    "empty": lambda file: file.write_bytes(b"") and None,
    "compressed": lambda file: np.savez_compressed(file, **np.load(file)),
    "no header": rewritten(lambda a: a.pop("header") and None),
    "header of numbers": rewritten(lambda a: a.update(header=np.zeros(3))),
    "other header": rewritten(lambda a: a.update(header=np.array('{"kind": 3}'))),
    "pickled": rewritten(lambda a: a.update(logits=np.array([Harmful()], dtype=object))),
    "not finite": rewritten(lambda a: a["means"].fill(np.nan)),
    "other shape": rewritten(lambda a: a.update(means=np.zeros((9, 9), np.float32))),
    "many": rewritten(lambda a: a.update(logits=np.zeros((2, 2), np.float32))),
    "text": rewritten(lambda a: a.update(logits=np.array("no"))),
    "missing": rewritten(lambda a: a.pop("axes") is None),
    "link": lambda file: file.rename(file.with_suffix(".a")) and file.symlink_to("best.mixture.a"),
    "folder": lambda file: file.unlink() or file.mkdir(),
}


def test_codes_of_files_that_are_read_otherwise_are_not_kept(own: Path) -> None:
    kept = sample(own, n=3)
    otherwise = sample(own, n=3, reading={"fit": "crop"})
    assert np.abs(otherwise - kept).max() > 1e-4
    file_of(own).unlink()
    np.testing.assert_allclose(sample(own, n=3, reading={"fit": "crop"}), otherwise, atol=1e-6)
    assert not file_of(own).exists()
    np.testing.assert_allclose(sample(own, n=3), kept, atol=1e-6)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_strangers_file_is_refused_and_left_as_it_is(damage: str, own: Path) -> None:
    file = file_of(own)
    DAMAGES[damage](file)
    before = file.read_bytes() if file.is_file() else None
    error, watch = watched(lambda: sample(own, n=2))
    assert isinstance(error, UsageError), error
    assert "best.mixture.npz" in str(error)
    harmless(watch)
    assert watch.unpickled == []
    assert before == (file.read_bytes() if file.is_file() else None)


def test_a_folder_that_cannot_be_written_only_warns(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_of(own).unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ae_lightning.inference.density_files.write_density", full)
    with pytest.warns(UserWarning, match=r"the density is not kept in .*: No space left"):
        assert len(density_of(load(own), "mixture").mean) == 4
