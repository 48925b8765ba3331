from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.kit.place import Place

RELAY = Path(__file__).with_name("tcp_relay.py")
WAIT_S = 10.0


def test_bytes_and_ends_go_both_ways(here: Place) -> None:
    with here.socket(kind=1) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(WAIT_S)
        relay = here.popen([sys.executable, "-I", RELAY, "127.0.0.1", "0", "127.0.0.1", str(listener.getsockname()[1])])
        port = int(relay.wait_for("^ready").split()[-1])
        received: list[bytes] = []

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                received.append(stream.read())
                connection.sendall(b"y" * 200_000)

        server = threading.Thread(target=answer)
        server.start()
        with here.socket(kind=1) as client:
            client.settimeout(WAIT_S)
            client.connect(("127.0.0.1", port))
            client.sendall(b"x" * 200_000)
            client.shutdown(1)
            with client.makefile("rb") as stream:
                assert stream.read() == b"y" * 200_000
        server.join(WAIT_S)
    assert received == [b"x" * 200_000]
