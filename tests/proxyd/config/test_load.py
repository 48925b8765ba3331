from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxyd.config.load import MAX_FILE_BYTES, load
from proxyd.errors import ConfigErrors
from tests.proxyd.config.samples import config

EXAMPLES = sorted((Path(__file__).parents[3] / "etc" / "examples").glob("*.cfg"))


def refused(path: Path) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_are_valid(path: Path) -> None:
    assert load(path).settings.acls


def test_there_are_five_examples() -> None:
    assert len(EXAMPLES) == 5


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    file.write_text(config())
    assert load(str(file)).settings.name == "DNS"


def test_a_path_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    file = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.cfg"))
    assert refused(file).startswith(f"{tmp_path}/\\xff.cfg:1:1:")
    file.write_text("nonsense")
    assert refused(file).startswith(f"{tmp_path}/\\xff.cfg:1:")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    file.write_text(config(), encoding="utf-8-sig")
    assert load(file).warnings == ()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert (
        refused(tmp_path / "none.cfg") == f"{tmp_path}/none.cfg:1:1: the file cannot be read: No such file or directory"
    )
    assert "Is a directory" in refused(tmp_path)
    assert "the file cannot be read" in refused(Path("a\0b"))


def test_what_is_not_utf_8_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    file.write_bytes("# ž\n# é ".encode() + b"\xff;")
    assert refused(file) == f"{file}:2:5: found the byte 0xff, which is not UTF-8 there; wanted UTF-8 text"


def test_a_file_too_large_for_a_configuration_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_FILE_BYTES + 1)
    assert "has more than" in refused(file)


def test_errors_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    file.write_text("version KERNUN-1;\nbad")
    assert refused(file).startswith(f"{file}:2:4: ")
