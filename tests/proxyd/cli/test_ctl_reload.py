"""proxyctl reload against a real control socket; with a whole proxy in tests/system/test_reload.py."""

from __future__ import annotations

import argparse
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxyd.cli.ctl_reload import reload
from proxyd.control import protocol
from proxyd.control.protocol import (
    MAX_MESSAGE_BYTES,
    AskReload,
    Change,
    Changes,
    Done,
    Judged,
    Judgements,
    Mistakes,
    Notes,
    Refused,
    Reply,
    Request,
    Step,
)
from proxyd.daemon.asker import Asker
from proxyd.daemon.control import Control, open_post
from tests.kit.readiness import is_readable


class Journal:
    def note(self, event: str, *fields: str | int | bytes | None) -> None:
        """Forget it."""


@contextmanager
def a_proxy(folder: Path, *replies: Reply) -> Iterator[argparse.Namespace]:
    """Answer a reload with these; yield the arguments of who asks."""
    post = open_post(folder / "x.ctl", None)

    def answer(request: Request, _asker: Asker) -> Iterator[Reply]:
        assert isinstance(request, AskReload)
        yield from replies

    control = Control(post, answer, lambda _: None, Journal())
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            if is_readable(control, 0.02):
                control.serve(0)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield argparse.Namespace(socket=str(folder / "x.ctl"), name=None, json=False, dry_run=False)
    finally:
        ended.set()
        thread.join()
        control.close()
        post.remove()


def test_a_reload_that_is_done_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with a_proxy(tmp_path, Step("renewing"), Done()) as arguments:
        assert reload(arguments) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("reloaded\n", "renewing\n")


def test_who_has_taken_over_meanwhile_is_asked_instead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def serve(listening: socket.socket) -> None:
        listening.accept()[0].close()
        with listening.accept()[0] as successor:
            successor.recv(MAX_MESSAGE_BYTES)
            successor.send(protocol.encode(Done()))

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "x.ctl"))
        listening.listen()
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        assert reload(argparse.Namespace(socket=str(tmp_path / "x.ctl"), name=None, json=False, dry_run=False)) == 0
        thread.join()
    assert capsys.readouterr().out == "reloaded\n"


def test_a_reload_tells_what_waits_for_the_next_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with a_proxy(tmp_path, Notes(["f:3:1: 'workers' counts from the next start on"]), Done()) as arguments:
        assert reload(arguments) == 0
    assert capsys.readouterr().out == "reloaded\nf:3:1: 'workers' counts from the next start on\n"


def test_a_refused_one_tells_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with a_proxy(tmp_path, Mistakes(["f:1:1: a", "f:2:1: b"]), Refused("nothing")) as arguments:
        arguments.json = True
        assert reload(arguments) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"mistakes": ["f:1:1: a", "f:2:1: b"], "notes": []}
    assert said.err == "f:1:1: a\nf:2:1: b\nproxyctl: nothing has changed\n"


@pytest.mark.parametrize(("accepted", "status"), [(True, 0), (False, 2)])
def test_a_rehearsal_says_by_its_status_whether_all_sessions_would_be_let_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], accepted: bool, status: int
) -> None:
    change = Change("setting", "changed", "max-sessions", "1 -> 2")
    judged = Judged(0, 1, "[10.0.0.1]:9", "[10.0.0.2]:5", accepted, "A", "because")
    with a_proxy(tmp_path, Changes([change]), Judgements(0, [judged]), Done()) as arguments:
        arguments.dry_run = True
        assert reload(arguments) == status
    assert "1 -> 2" in (said := capsys.readouterr().out)
    assert ("[10.0.0.1]:9" in said) is not accepted
