"""Pages of documentation are taken apart as they are written."""

from __future__ import annotations

import pytest

from tests.kit.pages import blocks, missing_line

PAGE = """# A page
```text file=/etc/x.cfg on=proxy
udp-proxy X {
```
Some words, `code`.
```sh on=client status=2
run this
```
```sh not-run
# Not run by a test: it takes a week.
wait
```
```
a picture
```
"""


def test_blocks_have_their_words_and_their_text() -> None:
    file, commands, spared, picture = blocks(PAGE)
    assert (file.line, file.language, file.words, file.text) == (
        2,
        "text",
        {"file": "/etc/x.cfg", "on": "proxy"},
        "udp-proxy X {\n",
    )
    assert (commands.host, commands.words["status"], commands.is_run) == ("client", "2", True)
    assert (spared.is_run, spared.excuse) == (False, "it takes a week.")
    assert (picture.language, picture.is_run, picture.excuse) == ("", False, "")


def test_a_block_without_an_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2"):
        blocks("x\n```sh\ny\n")


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        ("one two\nthree\n", None),
        ("one   two", None),
        ("…two\n…\nfour", None),
        ("three\none two", "one two"),
        ("one", "one"),
        ("o…e", "o…e"),
    ],
)
def test_output_is_compared_by_lines_in_their_order(wanted: str, missing: str | None) -> None:
    assert missing_line(wanted, "zero\none  two\nthree\nfour\n") == missing
