"""What a model was trained on is known by where its files lie, whichever way leads there."""

import shutil
from pathlib import Path

from ae_lightning.datamodules import ImageFolder
from ae_lightning.inference import load
from ae_lightning.inference.inputs import open_inputs
from ae_lightning.inference.overlap import seen


def test_files_of_training_are_known_by_any_path(
    of_photographs: Path, photographs: Path, tmp_path: Path
) -> None:
    trained = load(of_photographs)
    data = ImageFolder(str(photographs), resize=8)
    train, held_out = (data.folder.files[split][0] for split in ("train", "test"))
    (tmp_path / "link").symlink_to(photographs)

    def known(*named: object, split: str | None = None) -> bool:
        return seen(trained, open_inputs(trained, [str(name) for name in named], split))

    assert known()
    assert known(photographs)
    assert known(photographs, split="train")
    assert not known(photographs, split="test")
    assert known(photographs / "cats")
    assert known(tmp_path / "link")
    assert known(tmp_path / "link" / train.name)
    assert known(held_out.path, train.path)
    assert not known(held_out.path)
    assert not known(shutil.copytree(photographs, tmp_path / "copies"))
