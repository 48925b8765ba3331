from __future__ import annotations

import sys
from pathlib import Path

from tests.kit.notify import NotifySocket
from tests.kit.place import Place

SPEAK = (
    "import os, socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.connect(os.environ['NOTIFY_SOCKET'])\n"
    "s.send(b'STATUS=nearly')\nprint('before', flush=True)\ns.send(b'MAINPID=1\\nREADY=1\\n')\n"
)


def test_ready_is_awaited_and_the_socket_removed(tmp_path: Path, here: Place) -> None:
    path = tmp_path / "notify"
    with NotifySocket(path) as notify:
        process = here.popen([sys.executable, "-c", SPEAK], notify.env)
        notify.wait_ready()
        process.wait_for("before")
    assert not path.exists()
