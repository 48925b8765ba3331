"""The page for people: a few files that come with the program, read before the monitor has another root."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType

from proxyd.monitor.http import Answer

INDEX = "index.html"
KINDS = MappingProxyType(
    {
        "css": "text/css; charset=utf-8",
        "html": "text/html; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
)


class Site:
    """The files by their paths; there are no others."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._answers = {
            "/" if name == INDEX else f"/{name}": Answer(HTTPStatus.OK, KINDS[name.rpartition(".")[2]], content)
            for name, content in contents.items()
        }

    @classmethod
    def load(cls) -> Site:
        """Read the files of the program."""
        folder = Path(__file__).parent / "static"
        return cls(
            {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in KINDS}
        )

    def find(self, path: str) -> Answer | None:
        """Return the file of a path, None where there is none."""
        return self._answers.get(path)
