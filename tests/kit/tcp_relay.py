"""A TCP relay for tests, run as a program: what comes to one address goes to another, and back.

    python tcp_relay.py ADDRESS PORT TARGET PORT

For protocols that need a TCP connection beside their UDP, as iperf3 does. Prints `ready ADDRESS PORT` once it listens
(PORT 0: the system chooses), and runs until the end of its input. Uses nothing but the standard library.
"""

from __future__ import annotations

import socket
import sys
import threading

CHUNK_BYTES = 65_536


def relay(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes one way until their end, then pass the end on."""
    try:
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One of the two is gone: the other shall not wait for it.
        for sock in (source, target):
            sock.close()


def serve(listener: socket.socket, target: tuple[str, int]) -> None:
    """Accept for ever; each connection gets one of its own to the target."""
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(target)
        for sock in (near, far):
            # Small messages wait for no acknowledgement: a sender would have begun long before a receiver knows.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pair in ((near, far), (far, near)):
            threading.Thread(target=relay, args=pair, daemon=True).start()


def main(argv: list[str]) -> int:
    """Serve until standard input ends."""
    address, port, target, target_port = argv[1], int(argv[2]), argv[3], int(argv[4])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, port), family=family)
    print("ready", *listener.getsockname()[:2], flush=True)
    threading.Thread(target=serve, args=(listener, (target, target_port)), daemon=True).start()
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
