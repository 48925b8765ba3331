"""The fenced blocks of a page of documentation, in their order, with what the words behind the fence say of each.

```sh on=HOST status=N online until not-run
                                        commands, on this host; status: they end with it; online: they need package
                                        indexes; until: what they look for comes a moment later, so they are asked
                                        again; not-run: no test can run them, and their first line says why
```text file=PLACE on=HOST              a file's content
```text output                          what the commands before have printed, in this order; … is anything
Any other block is a picture or the like. Source: CommonMark, fenced code blocks.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

EXCUSE = "# Not run by a test: "
_FENCE = re.compile(r"^```(?P<info>[^`]*)$")


@dataclass(frozen=True)
class Block:
    """One block. line: of its fence, from 1; language: the first word behind it, words: the others."""

    line: int
    language: str
    text: str
    words: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Where it belongs; "" where the page has only one place, or does not say."""
        return self.words.get("on", "")

    @property
    def is_run(self) -> bool:
        """Tell whether these are commands for a test to run."""
        return self.language == "sh" and "not-run" not in self.words

    @property
    def excuse(self) -> str:
        """Why no test runs these commands, "" where nothing is said."""
        first = self.text.splitlines()[0] if self.text else ""
        return first.removeprefix(EXCUSE) if first.startswith(EXCUSE) else ""


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page. Raises ValueError for one that does not end."""
    found: list[Block] = []
    begun: tuple[int, str] | None = None
    content: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if begun is None and fence:
            begun, content = (number, fence["info"]), []
        elif begun is not None and line == "```":
            found.append(_block(*begun, content))
            begun = None
        elif begun is not None:
            content.append(line)
    if begun is not None:
        raise ValueError(f"the block of line {begun[0]} does not end")
    return found


def _block(line: int, info: str, content: list[str]) -> Block:
    language, *words = shlex.split(info) or [""]
    pairs = dict(word.partition("=")[::2] for word in words)
    return Block(line, language, "".join(f"{each}\n" for each in content), pairs)


def read(page: Path) -> list[Block]:
    """Return the blocks of a page's file."""
    return blocks(page.read_text())


def missing_line(wanted: str, printed: str) -> str | None:
    """Return the first line of an output block that was not printed, in its order; None when all were.

    Runs of blanks are one blank; … stands for anything within a line, and a line of it alone for any lines.
    """
    rest = [" ".join(line.split()) for line in printed.splitlines()]
    for line in (" ".join(each.split()) for each in wanted.splitlines()):
        if line in {"", "…"}:
            continue
        pattern = ".*".join(map(re.escape, line.split("…")))
        place = next((index for index, each in enumerate(rest) if re.fullmatch(pattern, each)), None)
        if place is None:
            return line
        rest = rest[place + 1 :]
    return None
