"""Whatever a file says is checked before it is used: names, kinds and sizes."""

import os
from pathlib import Path

import pytest

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import create, open_regular
from ae_lightning.core.untrusted import conform, inside

OUTSIDE = ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "C:x", "a\\b", "a\nb"]


@pytest.mark.parametrize("name", [*OUTSIDE, "x" * 300, None, 3, b"x", "\0", "\x1b[31m", "a\u202eb"])
def test_a_name_that_is_not_of_a_file_in_the_folder_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match=r"index.json names .*: expected a file's name"):
        inside(tmp_path, name, "index.json")


@pytest.mark.parametrize("name", ["a", "a/b.c", "..a", "größe.png", "a b", "step-1.ckpt"])
def test_any_other_name_is_a_path_in_the_folder(name, tmp_path):
    assert inside(tmp_path, name, "index.json") == tmp_path / name


def test_a_name_leads_through_no_link(tmp_path):
    (tmp_path / "out").symlink_to("/tmp")
    with pytest.raises(UsageError, match="out is a symbolic link"):
        inside(tmp_path, "out/x", "index.json")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": 1.5}, r"f: a is 1.5: input should be a valid integer\."),
        ({"a": True}, r"f: a is True: input should be"),
        ([], r"f: its content is \[\]: input should be a valid dictionary\."),
        ({1: 1}, r"f: 1.* is 1: input should be a valid string\."),
        ({"a": "\x1b[2J" + "x" * 1000}, r"f: a is '\\x1b\[2Jx{1,60}…x+': input should"),
    ],
)
def test_what_does_not_conform_is_one_short_sentence(value, said):
    with pytest.raises(UsageError, match=said) as error:
        conform(dict[str, int], value, "f")
    assert len(str(error.value)) < 401
    assert str(error.value).isprintable()


def test_only_a_regular_file_of_a_sane_size_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    for name in ("pipe", "zero", ""):
        with pytest.raises(UsageError, match="is not a regular file"):
            open_regular(tmp_path / name)
    with pytest.raises(UsageError, match="holds 5 bytes: expected at most 4"):
        open_regular(tmp_path / "file", most=4)
    for name in ("file", "link"):
        with open_regular(tmp_path / name, most=5) as file:
            assert file.read() == b"12345"


def test_a_file_is_created_in_place_of_a_link_and_never_through_it(tmp_path):
    precious: Path = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "link").symlink_to(precious)
    with create(tmp_path / "link") as file:
        file.write(b"theirs")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()
