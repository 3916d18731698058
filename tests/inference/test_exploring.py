"""The page of `explore`: what it shows follows from the model, and a browser can use it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning import UsageError
from ae_lightning.cli.main import main
from ae_lightning.inference import TrainedModel
from ae_lightning.inference.exploring import MAP, Explorer
from ae_lightning.inference.exploring_page import page_of
from ae_lightning.inference.inputs import open_inputs
from helpers.attack import one_sentence
from helpers.ports import free_port

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def explorer(digits: TrainedModel) -> Explorer:
    return Explorer(digits, open_inputs(digits, split="test", limit=100))


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two pictures are alike up to the last of 255 levels."""
    return int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


def test_pictures_are_those_of_the_model(explorer: Explorer, digits: TrainedModel) -> None:
    x = explorer.x[3]
    r = np.clip(digits.reconstruct(x), 0, 1)
    np.testing.assert_allclose(explorer.reconstructed(x), r, atol=1e-6)
    shown = explorer.shown(x)
    assert shown.shape == (320, 320, 3)
    assert (shown[::40, ::40, 0] == (x[0] * 255).round().byte().numpy()).all()
    z = explorer.code_of(x)
    assert same(explorer.decoded(z), explorer.shown(explorer.reconstructed(x)))
    assert same(explorer.between(x, explorer.x[4], 0.0), explorer.decoded(z))
    assert same(explorer.between(x, explorer.x[4], 1.0), explorer.decoded(explorer.codes[4]))
    assert same(explorer.walked(x, torch.ones_like(x), 0.0)[:, :320], shown)
    assert same(explorer.noisy(x, 0.0)[:, :320], shown)
    assert not same(explorer.noisy(x, 0.5)[:, :320], shown)
    tangents = explorer.tangents(x, 3)
    assert tangents.shape == (3, 1, 8, 8)
    torch.testing.assert_close(tangents.flatten(1).norm(dim=1), torch.ones(3))


def test_dimensions_are_sorted_and_sliders_span_the_codes(explorer: Explorer) -> None:
    scores = [explorer.score[k] for k in explorer.order]
    assert scores == sorted(scores, reverse=True)
    for k in explorer.order:
        low, high, decimals = explorer.range_of(k)
        assert (low, high) == (round(low, decimals), round(high, decimals))
        assert 90 <= (high - low) * 10**decimals <= 1100  # places that a slider has
        assert low < float(explorer.codes[:, k].min()) <= float(explorer.codes[:, k].max()) < high


def test_a_click_on_the_map_finds_the_code_that_is_drawn_there(explorer: Explorer) -> None:
    places = (explorer.placed * MAP).tolist()
    assert [explorer.nearest(x, y) for x, y in places] == list(range(len(places)))
    drawn = explorer.map()
    for (x, y), label in zip(places, explorer.labels, strict=True):
        assert (drawn[int(y), int(x)] != 255).any(), label
    assert set(explorer.colours) == {str(label) for label in explorer.labels}


def test_ones_own_image_is_read_as_in_training(explorer: Explorer, tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(grey).save(tmp_path / "mine.png")
    np.testing.assert_allclose(explorer.read(str(tmp_path / "mine.png"))[0] * 255, grey, atol=1e-4)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"bad\.png"):
        explorer.read(str(tmp_path / "bad.png"))


def test_vectors_are_refused(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--data.size", "300", "--data.val_size", "20", "--trainer.max_epochs", "1"]
    assert main(["fit", "--config", "vae", "--config", "manifold", *small, "--run", "run"]) == 0
    capsys.readouterr()
    assert main(["explore", "run"]) == 2
    assert "explore shows grey or coloured images" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("port", ["0", "-1", "65536"])
def test_a_port_that_there_is_none_of_is_refused(
    port: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explore", str(run), "--limit", "2", "--port", port]) == 2
    assert one_sentence(capsys.readouterr().err) == f"port is {port}: expected 1 to 65535."


@pytest.fixture(scope="module")
def address(explorer: Explorer) -> Iterator[str]:
    page, options = page_of(explorer)
    port = free_port()
    _, address, _ = page.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, **options
    )
    yield address
    page.close(verbose=False)


def test_it_is_served_to_this_machine_alone(address: str) -> None:
    assert address.startswith("http://127.0.0.1:")


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_can_use_it(address: str, width: int, tmp_path: Path) -> None:
    """A slider moves, and the image changes; a bad upload gets a sentence."""
    from playwright.sync_api import sync_playwright

    (tmp_path / "bad.png").write_bytes(b"no image")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(address)
        decoded = page.locator("#decoded img")
        decoded.wait_for(timeout=60_000)
        before = decoded.get_attribute("src")
        page.locator("#z0 input[type=range]").press("End")
        page.wait_for_function(
            "before => document.querySelector('#decoded img').src !== before", arg=before
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("input[type=file]").first.set_input_files(tmp_path / "bad.png")
        page.get_by_text("bad.png").first.wait_for(timeout=30_000)
        browser.close()
