"""Sessions laid up with a service manager that has room for some of them, and what is recorded of the others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxyd.daemon.bequest import Left
from proxyd.daemon.layup import bury, lay_up
from proxyd.daemon.notify import Notifier
from proxyd.daemon.spawn import Estate
from proxyd.logs.setup import Logs, open_logs
from tests.kit.readiness import is_readable
from tests.proxyd.daemon.estates import an_estate
from workers.contract.custody import Kept
from workers.contract.slots import SLOT, TRACK, TRACK_OFFSET, Counter
from workers.wire.sockaddr import encode

LISTENER_AND_MEMORY = 4
"""A listener, a region, the permits, and the list itself."""


@dataclass
class Scene:
    """A run of one worker that has left three sessions, and the manager."""

    estate: Estate
    kept: list[tuple[Kept, ...]]
    logs: Logs
    path: Path
    manager: socket.socket

    def lay_up(self, room: int) -> str:
        """Lay everything up where there is so much room for sessions; return the log."""
        left = Left(self.kept, None, places=False)
        with closing(Notifier(self.manager.getsockname())) as notifier:
            lay_up(self.estate, left, notifier, LISTENER_AND_MEMORY + room, self.logs)
        return self.text()

    def text(self) -> str:
        self.logs.flush()
        return self.path.read_text()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with (
        an_estate(tmp_path / "log") as estate,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager,
    ):
        manager.bind(str(tmp_path / "notify"))
        estate.texts = {1: "text"}
        region, raw = estate.shared.regions[0], encode(estate.settings.listeners[0].address, 9)
        sockets = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(3)]
        region.words[Counter.TOP] = 3
        for slot in range(3):
            start = region.offset(slot)
            SLOT.pack_into(region.memory, start, 1, 1, 0, 4, 0, 10 + slot, *(0,) * 9, 0, 1, *(raw,) * 4)
            TRACK.pack_into(region.memory, start + TRACK_OFFSET, 41 + slot)
        logs = open_logs(estate.settings, foreground=False, ident="TEST")
        kept = [tuple(Kept(slot, 10 + slot, b"", sock.fileno()) for slot, sock in enumerate(sockets))]
        yield Scene(estate, kept, logs, tmp_path / "log", manager)
        logs.close()
        for sock in sockets:
            sock.close()


def ended(text: str) -> list[str]:
    """Return the log's numbers of the sessions that have ended."""
    return [line.partition("]: ")[0].rpartition(".")[2] for line in text.splitlines() if "UDPP-712-N" in line]


@pytest.mark.parametrize(
    ("room", "said", "gone"),
    [
        (3, ("3 sessions laid up",), []),
        (1, ("of 3 sessions there is room for 1", "1 sessions laid up"), ["42", "43"]),
        (-1, ("of 3 sessions there is room for 0",), ["41", "42", "43"]),
    ],
)
def test_those_there_is_no_room_for_have_their_records(
    scene: Scene, room: int, said: tuple[str, ...], gone: list[str]
) -> None:
    text = scene.lay_up(room)
    assert all(words in text for words in said)
    assert ended(text) == gone
    assert ("laid up with the service manager\n" in text) == (room >= 0)
    assert bool(is_readable(scene.manager)) == (room >= 0)


def test_where_the_manager_does_not_take_them_all_have_their_records(scene: Scene, tmp_path: Path) -> None:
    with closing(Notifier(str(tmp_path / "nobody"))) as notifier:
        lay_up(scene.estate, Left(scene.kept, None), notifier, 100, scene.logs)
    text = scene.text()
    assert "UDPS-766-W" in text
    assert ended(text) == ["41", "42", "43"]


def test_what_a_slot_cannot_say_keeps_no_other_record_from_being_written(scene: Scene) -> None:
    region = scene.estate.shared.regions[0]
    start = region.offset(1)
    region.memory[start : start + SLOT.size] = b"\xff" * SLOT.size
    bury(scene.estate, scene.kept, [], scene.logs)
    assert ended(scene.text()) == ["41", "43"]
